"""The bars that a data-centre GPU has to pass: what a row's ``ratio`` is, and how large it may or must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """``limit`` is a least value where ``above``, else a largest one."""

    what: str
    limit: float
    above: bool

    def passed(self, ratio: float) -> bool:
        """Whether a ratio passes."""
        return ratio >= self.limit if self.above else ratio <= self.limit

    @property
    def words(self) -> str:
        """For the table."""
        return f"{'>=' if self.above else '<='} {self.limit:g} {self.what}"


BARS = {
    "G1": Bar("of 4.3 TB/s and 790 TFLOP/s (an H200's; an H100 moves less)", 0.9, True),
    "G2": Bar("times five traversals at the copy rate", 1.3, False),
    "G3": Bar("times as fast as SpikingJelly in torch", 5.0, True),
    "G4": Bar("times its floor at the copy rate", 1.5, False),
    "G5": Bar("times as fast captured as eager, batch 64", 4.0, True),
    "G6": Bar("times as fast as DARTS-style, batch 64", 10.0, True),
    "G6b": Bar("times as fast as DARTS-style, batch 256", 5.0, True),
    "G7": Bar("training images a second, batch 256", 4000.0, True),
    "G8": Bar("counted TFLOP/s", 100.0, True),
    "G9": Bar("of a step in which the device is idle", 0.05, False),
    "G10": Bar("of a search step, batch 256", 0.02, False),
    "G11": Bar("minutes for 50 epochs of 25,000 images, extrapolated", 8.0, False),
}
"""A row of another bar, or of none, is there to compare with. G12, an accuracy, is no matter of minutes."""
