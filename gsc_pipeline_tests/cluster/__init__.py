"""Servers and machines on loopback, as a set-up of several machines has them."""
