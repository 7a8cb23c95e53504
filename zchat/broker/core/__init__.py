"""What the broker decides, without I/O: commands come in, answers go out."""
