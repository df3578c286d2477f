"""Measurements of the suite, each rerun by a target of the Makefile."""
