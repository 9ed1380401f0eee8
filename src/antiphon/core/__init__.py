"""Pure and synchronous: the agent loop as a value, and what it is made of. No I/O, no clock, no ids, no logging."""
