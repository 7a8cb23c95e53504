"""What `zchat client` is made of."""
