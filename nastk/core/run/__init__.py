"""Floors 2 and 3: training, strategies, the search loop, and a run in its directory."""
