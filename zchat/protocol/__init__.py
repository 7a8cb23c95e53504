"""The client without I/O: frames and the time come in, frames go out."""
