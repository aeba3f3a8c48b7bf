"""Mails: the kind of job that sends one, and what makes each."""
