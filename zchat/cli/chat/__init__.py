"""The chat of `zchat client`: on a terminal, or by lines."""
