"""Copies of a whole store into another one, of whatever kind either is."""
