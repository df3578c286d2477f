"""What is behind `faces run`: the whole suite in one process, with a private server."""
