"""What executors call, in this process or another: from a proposal to its report."""

from __future__ import annotations

import importlib
import json
from functools import lru_cache
from typing import Any

from attrs import frozen

from nastk.core.config import unstructure
from nastk.core.run.trial import Evaluation, Proposal, Report
from nastk.core.settings import RunConfig


@frozen
class TrialWork:
    """An evaluation that can travel. A pickle of it holds the run's configuration as JSON, no data and no code.

    Where it is unpickled, data and space are built anew from the configuration, once a process; plug-ins have to be
    installed there.
    """

    evaluation: Evaluation
    config: RunConfig

    def __call__(self, proposal: Proposal) -> Report:
        """The report of a trial."""
        return self.evaluation(proposal)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (json.dumps(unstructure(self.config)),)


@lru_cache(maxsize=1)
def rebuilt(document: str) -> TrialWork:
    """The work of a configuration, for a process that has none yet. Raises :class:`NastkError` as a run does."""
    # The loops stand above: this process begins with its work, and only then needs what prepares a run.
    runfile, run = (importlib.import_module(f"nastk.core.run.{name}") for name in ("runfile", "run"))
    config = runfile.typed(json.loads(document), "the run that started this worker")
    return TrialWork(run.prepare(config).context.evaluation, config)
