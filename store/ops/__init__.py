"""What operators read: health, presence, usage, secret rotations, maintenance."""
