"""Checks of data, split and network before a long run; each gives findings, none changes anything."""
