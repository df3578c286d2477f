"""A whole suite at work beside a stranger who writes into its Redis; `python -m tests.hostile`."""
