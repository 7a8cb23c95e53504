"""Where a log record has the fields of its event."""

FIELDS = "fields"
"""The attribute of the broker's log records that holds what a line is about, for programs that read the log."""
