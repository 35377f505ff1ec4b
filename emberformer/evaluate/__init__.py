"""Verification: scores, their sums over fires, uncertainty and tables. Reads forecast files, never a model."""

from emberformer.evaluate.arrays import verify

__all__ = ["verify"]
