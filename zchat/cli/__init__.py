"""The `zchat` command."""
