"""The commands: one in each file, with its options."""
