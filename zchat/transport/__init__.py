"""The sockets of a client and the thread that owns them: beside the broker's loop the only place that uses ZeroMQ."""
