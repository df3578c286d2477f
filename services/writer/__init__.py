"""The writer: commits results, each exactly once."""
