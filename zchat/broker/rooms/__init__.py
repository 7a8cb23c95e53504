"""Rooms, their members, and the sessions that these belong to."""
