"""How messages and names are shown on a terminal or written to a pipe."""
