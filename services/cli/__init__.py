"""The command line, and `run`, which starts the three services on an embedded engine."""
