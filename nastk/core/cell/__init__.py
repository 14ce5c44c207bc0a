"""Floor 1, torch-free: what a cell is, what a space is, and how one walks in it."""
