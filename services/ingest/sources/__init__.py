"""Kinds of sources, one module each, behind one protocol."""
