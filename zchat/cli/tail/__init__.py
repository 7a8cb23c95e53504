"""What `zchat tail` consists of."""
