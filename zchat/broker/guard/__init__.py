"""Who is let in, for how long, and what each may: decided without sockets, threads or clocks."""
