"""A run bound to its directory: the search, which all runs have, and who hears of it. How it ends is the sub-class's."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nastk.core.cell.graph import Genotype
from nastk.core.config import ReporterPart
from nastk.core.errors import Interrupted, OutputError
from nastk.core.events import Event, Notice, Progress, Reporter, RunStarted
from nastk.core.ranks import ranks
from nastk.core.registry import registry
from nastk.core.run.device import device_of
from nastk.core.run.lock import locked
from nastk.core.run.manifest import manifest
from nastk.core.run.parallel import check_shared
from nastk.core.run.result import MEASURED, draw_result
from nastk.core.run.search import STAGE, check_fit
from nastk.core.run.search import search as search_loop
from nastk.core.run.stop import Stop, Stopped
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.trial import Evaluation
from nastk.core.run.within import Within, WithinStage
from nastk.core.settings import RunConfig

RESULT, GENOTYPE = "result.json", "genotype.json"
DRAWS = 8
"""Members that may turn out not to fit the data before a run is refused; usually all fit, or none."""


class Session(ABC):
    """A search, stage by stage; every stage goes on from its last checkpoint.

    Building it checks all that can be checked before anything is written: data, space, strategy, device, sizes.
    """

    def __init__(self, config: RunConfig) -> None:
        check_shared(config)
        self.config = config
        self.device = device_of(config.device)
        self.space = config.space.build(config.model)
        self.strategy: Strategy[Any] = config.strategy.build()
        self.stop = Stop(config.slice_minutes)
        self.notices: list[str] = []
        evaluation = self.evaluation()
        self.context = SearchContext(self.space, evaluation, self.config, config.executor.build(), self.emit)
        check_fit(self.strategy, self.context)
        self.reporters: list[Reporter] = []
        self.store = RunDirectory(Path())
        self.result: dict[str, Any] = {}

    @abstractmethod
    def evaluation(self) -> Evaluation:
        """How a candidate of the search comes to its figures; made once. It may settle what the settings left open."""

    @abstractmethod
    def finish(self, genotype: Genotype) -> dict[str, Any]:
        """All that follows the search; returns the content of ``result.json``."""

    def emit(self, event: Event) -> None:
        """Tell every reporter. Only a full or read-only disk ends the run; any other failure in one silences it.

        Progress is also the moment at which a run that was asked to end does so. Raises :class:`~nastk.core.run.stop.Stopped`.
        """
        if isinstance(event, Progress):
            self.stop.check()
        if ranks().rank:  # of several processes one speaks
            return
        for reporter in list(self.reporters):
            try:
                reporter.hear(event)
            except OutputError:
                raise
            except Exception as error:  # a broken reporter must not cost a search
                self.reporters.remove(reporter)
                with suppress(Exception):
                    reporter.close()
                self.emit(Notice(f"The reporter {type(reporter).__name__} failed and is off: {type(error).__name__}: {error}"))
        registry().hooks.hook.nastk_event(event=event)

    @contextmanager
    def writing(self, store: RunDirectory, reporters: Sequence[str], resumed: bool) -> Iterator[None]:
        """Bind the run to its directory, which no other process may write to meanwhile, and open the reporters."""
        with locked(store.path), self.stop.listening():
            self.store = store
            store.sweep()
            if not resumed:
                store.write_toml("manifest.toml", manifest(self.config, self.device))
            self.result = self._summary()
            if (store.path / RESULT).is_file():
                self.result |= store.read_json(RESULT)
            registry().load_listeners()
            usual = [ReporterPart.named(name) for name in reporters]
            wanted = [*usual, *(part for part in self.config.reporters if part.name not in reporters)]
            self.context.within = self.within(STAGE)
            self.reporters = [] if ranks().rank else [part.build(store.path) for part in wanted]
            go_on = f"every finished step is kept. Go on with: nastk run --resume {shlex.quote(str(store.path))}"
            if ranks().rank:
                go_on = "rank 0 has kept every finished step"
            try:
                self.emit(RunStarted(store.path, self.result, resumed))
                for text in self.notices:
                    self.emit(Notice(text))
                yield
            except KeyboardInterrupt:
                raise Interrupted(f"Interrupted; {go_on}") from None
            except Stopped as stopped:
                raise type(stopped.error)(f"{stopped}; {go_on}") from None
            finally:
                self.context.close()
                for reporter in self.reporters:
                    with suppress(Exception):  # what went wrong in the run matters more than a display that does not close
                        reporter.close()

    def within(self, stage: str) -> Within:
        """Where the steps of a stage keep how far they are."""
        return WithinStage(self.store, stage, 60 * self.config.checkpoint_minutes, self.stop)

    def _summary(self) -> dict[str, Any]:
        config = self.config
        return {
            "status": "started",
            "strategy": config.strategy.name,
            "space": config.space.name,
            "dataset": config.dataset.name if config.benchmark is None else None,
            "benchmark": None if config.benchmark is None else config.benchmark.name,
            "neuron": None,
            "attention": None,
            "time_steps": None,
            "seed": config.seed,
            **dict.fromkeys(MEASURED),
        }

    def _keep(self, status: str, **figures: Any) -> None:
        self.result = self.result | {"status": status, **figures}
        self.store.write_json(RESULT, self.result)

    def take(self, genotype: Genotype) -> None:
        """Store the genotype that the rest of the run is about, and draw its cells; harmless to repeat."""
        self.store.write(GENOTYPE, genotype.to_json())
        draw_result(self.store.path, genotype)
        parts = {name: genotype.part(name) for name in ("neuron", "attention", "time_steps")}
        self._keep("searched", **parts, genotype={"digest": genotype.digest, "file": GENOTYPE})

    def search(self) -> Genotype:
        """Search, derive, and store the genotype."""
        found = search_loop(self.strategy, self.context, self.store)
        self._keep("started", search={"seconds": round(found.seconds, 2), "steps": found.steps, "retries": found.retries})
        self.take(found.genotype)
        return found.genotype
