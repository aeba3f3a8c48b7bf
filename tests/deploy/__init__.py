"""What operators deploy with: the commands, the files under deploy/, and what a restart must not lose."""
