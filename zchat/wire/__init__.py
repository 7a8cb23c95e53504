"""Bytes and values: what goes over the wire, encoded and decoded for both ends, without I/O."""
