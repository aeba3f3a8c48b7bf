"""What jobs do: one file or folder for each kind of work."""
