"""knightshift: overnight T2 imaging of sodium batteries, from a protocol to a T2 map."""
