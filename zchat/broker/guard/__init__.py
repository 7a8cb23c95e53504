"""Who is let in, and for how long: decided without sockets, threads or clocks."""
