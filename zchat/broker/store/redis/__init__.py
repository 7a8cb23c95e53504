"""The store over Redis or Valkey: the server decides, and the broker mirrors what it has decided."""
