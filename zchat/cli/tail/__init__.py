"""What `zchat tail` is made of."""
