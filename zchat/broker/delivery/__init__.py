"""Sending members the log, and sessions their answers."""
