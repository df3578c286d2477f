"""Chaos: a whole suite at work while its processes, servers and connections are broken."""
