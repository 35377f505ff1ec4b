"""Data: readers that fill the fires store, the simulated demo, splits."""
