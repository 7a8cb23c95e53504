"""A room's state: who is here, who is typing, how far each has read."""
