"""What the broker counts and measures, and how it is reported."""
