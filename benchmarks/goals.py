"""What each figure should reach: the goals of the project, beside the figures' names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """A bound that a figure should keep.

    Args:
        relation: '<=', '<' or '>='.
        bound: in the figure's own unit.
    """

    relation: Literal["<=", "<", ">="]
    bound: float

    def reached(self, figure: float) -> bool:
        """Whether a figure keeps the bound."""
        return {"<=": figure <= self.bound, "<": figure < self.bound, ">=": figure >= self.bound}[self.relation]

    def times_as_good(self, figure: float) -> float:
        """1 on the bound, 2 where the figure is twice as good; neither the figure nor the bound may be 0.

        >>> Goal("<=", 1.3).times_as_good(2.6), Goal(">=", 6).times_as_good(9)
        (0.5, 1.5)
        """
        return figure / self.bound if self.relation == ">=" else self.bound / figure

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


GOALS = {
    # Extraction
    "extraction / bare forward, frames a second": Goal(">=", 0.95),
    "extraction / plain loop, frames a second, torch bfloat16": Goal(">=", 1.7),
    "extraction / plain loop, frames a second, OpenVINO": Goal(">=", 2.3),
    "frames encoded / unique frames": Goal("<=", 1),
    "peak memory, 10 times the fires / as many as they are": Goal("<=", 1.1),
    # Store
    "write a block / plain file": Goal("<=", 1.3),
    "read windows from blocks / np.memmap": Goal("<=", 1.25),
    "read windows cold / sequential disk rate": Goal(">=", 0.8),
    "bytes a token, smallest option / float16": Goal("<=", 0.35),
    "files, 10000 fires": Goal("<", 1000),
    # Forecast
    "command, forecast of a new fire, scale 1, s": Goal("<", 10),
    "command, forecast of a new fire, scale 0.5, s": Goal("<", 10),
    "futures, 16 of a fire that reaches all of its frame, s": Goal("<", 60),
    "futures, 16 of a fire that reaches a quarter of its frame, s": Goal("<", 60),
    "forecast, newest frame from pixels, scale 1, s": Goal("<", 1),
    "forecast, six frames from pixels, scale 1, s": Goal("<", 1),
    "forecast, newest frame from pixels, scale 0.5, s": Goal("<", 1),
    "forecast, six frames from pixels, scale 0.5, s": Goal("<", 1),
    # Training
    "epoch from the cache / from memory, warm": Goal("<=", 1.01),
    "epoch from the cache / from memory, cold": Goal("<=", 1.03),
    "epoch online, transformers float32 / from the cache": Goal(">=", 6),
    "epoch online, torch bfloat16 / from the cache": Goal(">=", 3),
    "epoch online, dinov2-base / from the cache": Goal(">=", 10),
    "epoch online and plain / from the cache": Goal(">=", 8),
    "training step, nn.TransformerEncoder / ours": Goal(">=", 2.4),
    "peak memory of a training step, ours / nn.TransformerEncoder": Goal("<=", 0.4),
    # Workflow and faults
    "dry run, 10000 fires, nothing to do, seconds": Goal("<", 10),
    "finished blocks computed again after 200 kills": Goal("<=", 0),
    "damaged reads after 200 kills": Goal("<=", 0),
    "stores not identical after 200 kills": Goal("<=", 0),
    "wrong features read after 1000 flipped bytes": Goal("<=", 0),
    "errors without a remedy after 1000 flipped bytes": Goal("<=", 0),
}
