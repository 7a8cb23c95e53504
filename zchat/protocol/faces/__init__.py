"""What the faces of the client share: checks, calls of several waits, outcomes and errors."""
