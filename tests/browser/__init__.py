"""The console in a real headless Chromium, as a contractor and a customer use it."""
