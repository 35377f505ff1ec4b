"""Verification: scores, their sums over fires, uncertainty and tables. Reads forecast files, never a model."""
