"""Reading pictures on this machine, and sending them to a deployment."""
