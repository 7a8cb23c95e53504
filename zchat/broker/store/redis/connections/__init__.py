"""How the server of a store is named, found and talked to: its URL, the Sentinels that know it, connections to it."""
