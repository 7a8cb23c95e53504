"""The chat on a terminal: a line editor, a status line, and messages that scroll by above them."""
