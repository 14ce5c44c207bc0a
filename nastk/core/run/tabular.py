"""A run on a benchmark: trials and the final test are look-ups in its table; nothing is trained."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from attrs import frozen

from nastk.core.cell.graph import Genotype
from nastk.core.data.task import Task
from nastk.core.errors import ConfigError, NastkError
from nastk.core.events import Notice, RunDone
from nastk.core.run.benchmark import Benchmark
from nastk.core.run.session import DRAWS, Session
from nastk.core.run.trial import Evaluation, Proposal, Report
from nastk.core.seeds import rng
from nastk.core.settings import RunConfig
from nastk.core.types import Shape


@frozen
class TabularTrials(Evaluation):
    """Trials that are looked up, at the table's longest training that is not longer than the proposal's."""

    benchmark: Benchmark
    name: str

    @property
    def task(self) -> Task:
        fault = f"the benchmark {self.name!r} has no data to train on: use a strategy that samples (random-search)"
        raise ConfigError([fault], "strategy")

    @property
    def shape(self) -> Shape:
        return self.benchmark.shape

    @property
    def outputs(self) -> int:
        return self.benchmark.classes

    def check(self) -> None:
        """A look-up needs nothing."""

    def key(self, proposal: Proposal) -> Hashable:
        """The member itself: a table tells cells apart that compute the same."""
        return proposal.genotype, self._epochs(proposal)

    def _epochs(self, proposal: Proposal) -> int:
        lengths = self.benchmark.epochs
        return max((n for n in lengths if n <= proposal.epochs), default=lengths[0])

    def __call__(self, proposal: Proposal) -> Report:
        """The figures of the member itself; a table has no proxy."""
        epochs = self._epochs(proposal)
        try:
            return Report(proposal, {**self.benchmark.look_up(proposal.genotype, epochs), "epochs": epochs})
        except NastkError as error:
            return Report(proposal, failure=str(error))


class TabularRun(Session):
    """A run on a benchmark."""

    def __init__(self, config: RunConfig) -> None:
        assert config.benchmark is not None
        self.benchmark: Benchmark = config.benchmark.build()
        super().__init__(config)
        self._check_members()

    def _check_members(self) -> None:
        """Refuse a space of which the table knows no member."""
        for draw in range(DRAWS):
            try:
                self.benchmark.test(self.space.sample(rng(self.config.seed, "check", draw)))
                return
            except NastkError as error:  # with searched parts, another member may be there
                fault = error
        raise fault

    def evaluation(self) -> Evaluation:
        assert self.config.benchmark is not None
        return TabularTrials(self.benchmark, self.config.benchmark.name)

    def finish(self, genotype: Genotype) -> dict[str, Any]:
        """Look up the test accuracy of the found member, once."""
        if self.result["status"] == "done":
            self.emit(Notice("The test accuracy of this run was looked up before: this is the stored result."))
        else:
            self._keep("done", test={"accuracy": self.benchmark.test(genotype), "n": None, "ci95": None, "epoch": None})
        self.emit(RunDone(self.store.path, self.result))
        return self.result
