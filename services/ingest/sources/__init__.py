"""Kinds of sources: one module each behind one protocol, and `registry`, which lists them."""
