"""Stores that pictures are kept in and read from: folders, buckets, and whose fault an error is."""
