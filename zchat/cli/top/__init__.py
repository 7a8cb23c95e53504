"""What `zchat top` consists of."""
