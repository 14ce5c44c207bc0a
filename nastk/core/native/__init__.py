"""Compiled CPU kernels, built on the user's machine at first use; every caller has a path without them."""

from nastk.core.native.build import SWITCH, load, threads

__all__ = ["SWITCH", "load", "threads"]
