"""A room's state: the users in it, which of them are typing, how far each has read."""
