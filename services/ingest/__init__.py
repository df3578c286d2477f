"""Ingest: expands sources into images, writes their rows, and hands them on."""
