"""Figures of the catalog on PostgreSQL; run it as `python -m bench.catalog`."""
