"""How rows are written: for people, for programs, and for photo managers. See `registry`."""
