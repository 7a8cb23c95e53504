"""Where the broker meets its system: the addresses that it listens at, and the descriptors of its process."""
