"""The rooms that a client has joined: how far each is read, who is there, what they say of themselves."""
