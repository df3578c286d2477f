"""The services. Each imports `shared`, never another service; only `cli` may import them all."""
