"""What the commands that have a whole terminal share."""
