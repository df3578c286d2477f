"""OUT, the output folder of a run: its lock, its record, its tree, its sidecars."""
