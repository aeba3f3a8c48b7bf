"""The kinds of jobs: one file or folder for each."""
