"""Everything about Redis Streams, once, for all three services."""
