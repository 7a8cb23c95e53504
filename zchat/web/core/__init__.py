"""The gateway without I/O: commands of browsers in, frames out, and what a broker is asked in between."""
