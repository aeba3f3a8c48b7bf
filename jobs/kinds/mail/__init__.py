"""Mails: the kind of job that sends one, and the makers of each."""
