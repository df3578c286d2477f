"""The engine of `faces run`: the whole suite in one process, with a private server."""
