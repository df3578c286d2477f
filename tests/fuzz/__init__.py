"""Hostile inputs by the thousand, for as long as you like; run it as `python -m tests.fuzz`."""
