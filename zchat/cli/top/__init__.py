"""What `zchat top` is made of."""
