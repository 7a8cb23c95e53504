"""The store `sqlite:PATH`."""
