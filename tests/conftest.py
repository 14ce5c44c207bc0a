"""Hypothesis profiles: ``make test`` tries the same examples every time, all else looks for new ones."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
