"""Damaged pictures by the thousand; run it as `python -m tests.fuzz`."""
