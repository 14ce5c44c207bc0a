"""The trials of a search: what was reported, what that cost, and what the budget leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from nastk.core.errors import TrialsFailed
from nastk.core.run.trial import Report
from nastk.core.settings import BudgetConfig

FAILURES = 10
"""Failed trials from which on their share is looked at."""
CAUSES = 5
"""Causes that are told, the most frequent first."""


class Trials(Mapping[Hashable, Report]):
    """Every report that the search has seen so far, by what trials are remembered under, in order.

    After an interruption, reports that were made but not yet seen at the last checkpoint are *recalled*: they are not
    in this mapping until the search, which repeats itself, asks for them again.
    """

    def __init__(self, budget: BudgetConfig) -> None:
        self.budget = budget
        self.seconds = 0.0
        """What the trials took: device time, simulated in a table."""
        self.keep: Callable[[int, Report], None] = _forget
        """Stores a report that was made just now, and its place in the order, from 1 on."""
        self.recalled: dict[Hashable, Report] = {}
        self._seen: dict[Hashable, Report] = {}
        self._failures: list[str] = []

    def __getitem__(self, key: Hashable) -> Report:
        return self._seen[key]

    def __len__(self) -> int:
        return len(self._seen)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._seen)

    def __contains__(self, key: object) -> bool:
        return key in self._seen

    @property
    def left(self) -> int | None:
        """Trials that the budget still allows; ``None``: any number."""
        return None if self.budget.evaluations is None else max(0, self.budget.evaluations - len(self._seen))

    @property
    def over(self) -> bool:
        """Whether the trials have used up the budget, of trials or of device time."""
        hours = self.budget.device_hours
        return self.left == 0 or (hours is not None and self.seconds >= hours * 3600)

    def check(self) -> None:
        """Raise :class:`TrialsFailed`, with the causes grouped, when too large a share of the trials has failed."""
        count, of = len(self._failures), len(self._seen)
        if count >= FAILURES and count > self.budget.failed * of:
            causes = Counter(failure.partition("\n")[0] for failure in self._failures)
            told = "".join(f"\n  {times} x {cause}" for cause, times in causes.most_common(CAUSES))
            more = f"\n  and {len(causes) - CAUSES} other causes" if len(causes) > CAUSES else ""
            raise TrialsFailed(
                f"{count} of {of} trials failed, more than budget.failed = {self.budget.failed:g} allows. Mend the cause, or "
                f"raise budget.failed, and start anew:{told}{more}"
            )

    def made(self, key: Hashable, report: Report) -> None:
        """Take a report that was made just now: it is stored, and seen."""
        self.keep(len(self._seen) + 1, report)
        self.saw(key, report)

    def saw(self, key: Hashable, report: Report) -> None:
        """Take a report that is stored already."""
        self._seen[key] = report
        self._failures += [report.failure] if report.failure is not None else []
        self.seconds += float(report.figures.get("seconds", 0.0))

    def restore(self, keys: Sequence[Hashable], reports: Sequence[Report], seen: int) -> None:
        """Go on from a log of which the first ``seen`` were seen at the checkpoint."""
        pairs = list(zip(keys, reports, strict=True))
        for key, report in pairs[:seen]:
            self.saw(key, report)
        self.recalled = dict(pairs[seen:])


def _forget(number: int, report: Report) -> None:
    del number, report
