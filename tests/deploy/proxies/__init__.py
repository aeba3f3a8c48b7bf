"""The proxies and poolers that we ship configurations for, each as a process of a test's own."""
