"""A run: search, derive, retrain from scratch, open the test data once, report. Each stage is also a command."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from nastk.core.cell.graph import Genotype
from nastk.core.cell.resize import resized, settings_of
from nastk.core.data.task import Task
from nastk.core.data.testset import test_batches
from nastk.core.errors import Interrupted, NastkError, OutputError
from nastk.core.events import Event, Notice, Reporter, RunDone, RunStarted, StageDone, StageStarted, StepDone
from nastk.core.model.network import Network
from nastk.core.registry import registry
from nastk.core.run.device import device_of
from nastk.core.run.manifest import config_of, manifest
from nastk.core.run.result import BATCHES, MEASURED, draw_result, operations, test_figures
from nastk.core.run.runfile import Source, configure
from nastk.core.run.search import check_fit
from nastk.core.run.search import search as search_loop
from nastk.core.run.store import RunDirectory
from nastk.core.run.strategy import SearchContext, Strategy
from nastk.core.run.training import Trainer, TrainState
from nastk.core.run.training import evaluate as score
from nastk.core.seeds import rng, seeded
from nastk.core.settings import RunConfig
from nastk.core.types import Kind, Split

RESULT = "result.json"
DRAWS = 8
"""Members that may turn out not to fit the data before a run is refused; usually all fit, or none."""


class Run:
    """One run, stage by stage; every stage goes on from its last checkpoint.

    Building it checks all that can be checked before anything is written: data, space, strategy, device, sizes.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.device = device_of(config.device)
        self.space = config.space.build(config.model)
        self.strategy: Strategy[Any] = config.strategy.build()
        self.dataset = config.dataset.build()
        self.task = Task(self.dataset, config.split, config.seed, self.device)
        self.context = SearchContext(self.space, self.task, config, config.executor.build(), self.emit)
        check_fit(self.strategy, self.context)
        self.task.steps(config.train.batch, *self.splits)
        self._check_networks()
        self.reporters: list[Reporter] = []
        self.store = RunDirectory(Path())
        self.result: dict[str, Any] = {}

    @property
    def splits(self) -> tuple[Split, ...]:
        """The parts of the training data on which the final network is trained."""
        return (Split.WEIGHTS, Split.ALPHA, *((Split.VALID,) if self.config.train.data == "all" else ()))

    def _check_networks(self) -> None:
        """Refuse settings with which no network fits: some members are built, at both sizes, without memory or numbers."""
        for draw in range(DRAWS):
            genotype = self.space.sample(rng(self.config.seed, "check", draw))
            try:
                with torch.device("meta"):
                    for sized in (self.context.proxy(genotype), genotype):
                        Network(sized, self.task.shape, self.task.classes)
                return
            except NastkError as error:  # with searched parts, another member may fit
                fault = error
        raise fault

    def emit(self, event: Event) -> None:
        """Tell every reporter. Only a full or read-only disk ends the run; any other failure in one silences it."""
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
        """Bind the run to its directory and open the reporters."""
        self.store = store
        if not resumed:
            store.write_toml("manifest.toml", manifest(self.config, self.device))
        self.result = self._summary()
        if (store.path / RESULT).is_file():
            self.result |= store.read_json(RESULT)
        registry().load_listeners()
        self.reporters = [registry().load(Kind.REPORTER, name, "reporters")(store.path) for name in reporters]
        try:
            self.emit(RunStarted(store.path, self.result, resumed))
            yield
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; every finished step is kept. Go on with: nastk run --resume {shlex.quote(str(store.path))}"
            ) from None
        finally:
            for reporter in self.reporters:
                with suppress(Exception):  # what went wrong in the run matters more than a display that does not close
                    reporter.close()

    def _summary(self) -> dict[str, Any]:
        config = self.config
        return {
            "status": "started",
            "strategy": config.strategy.name,
            "space": config.space.name,
            "dataset": config.dataset.name,
            "neuron": None,
            "attention": None,
            "time_steps": None,
            "seed": config.seed,
            **dict.fromkeys(MEASURED),
        }

    def _keep(self, status: str, **figures: Any) -> None:
        self.result |= {"status": status, **figures}
        self.store.write_json(RESULT, self.result)

    def take(self, genotype: Genotype) -> None:
        """Store the genotype that the rest of the run is about, and draw its cells; harmless to repeat."""
        self.store.write("genotype.json", genotype.to_json())
        draw_result(self.store.path, genotype)
        parts = {name: genotype.part(name) for name in ("neuron", "attention", "time_steps")}
        self._keep("searched", **parts, genotype={"digest": genotype.digest, "file": "genotype.json"})

    def search(self) -> Genotype:
        """Search, derive, and store the genotype."""
        found = search_loop(self.strategy, self.context, self.store)
        self._keep("started", search={"seconds": round(found.seconds, 2), "steps": found.steps})
        self.take(found.genotype)
        return found.genotype

    def build(self, genotype: Genotype) -> Network:
        """The network of a genotype at full size, with fresh weights that depend on the seed and the genotype alone."""
        with seeded(self.config.seed, "final weights", genotype.digest):
            network = Network(genotype, self.task.shape, self.task.classes, auxiliary=self.config.train.auxiliary > 0)
        return network.to(self.device)

    def train(self, genotype: Genotype) -> Network:
        """Train the network of a genotype from scratch, one checkpoint an epoch."""
        config = self.config.train
        network = self.build(genotype)
        trainer = Trainer(network, self.task, config, self.config.seed, self.emit, self.splits)
        saved = self.store.load(trainer.stage)
        spent, start = 0.0, 0
        if saved is not None:
            spent, start = saved["seconds"], saved["epoch"]
            trainer.load(TrainState(start, saved["weights"], saved["optimizer"]))
        self.emit(StageStarted(trainer.stage, config.epochs, "epochs", start))
        for epoch in range(start, config.epochs):
            began = time.perf_counter()
            state = trainer.epoch(epoch)
            spent += time.perf_counter() - began
            tree = {"epoch": state.epoch, "seconds": spent, "weights": state.weights, "optimizer": state.optimizer}
            self.store.save(trainer.stage, state.epoch, tree)
            self.emit(StepDone(trainer.stage, state.epoch, state.figures))
        self.emit(StageDone(trainer.stage, spent))
        if self.result["status"] != "done":  # the test data of a finished run are not opened again
            self._keep("trained", train={"seconds": round(spent, 2), "epochs": config.epochs})
        return network

    def test(self, network: Network) -> dict[str, Any]:
        """Open the test data, once, and complete the result."""
        if self.result["status"] == "done":
            self.emit(Notice("The test data of this run was opened before: this is the stored result."))
        else:
            self.emit(StageStarted("test", 1, "passes"))
            began = time.perf_counter()
            batches = test_batches(self.dataset, self.task)
            first = list(itertools.islice(batches, BATCHES))
            test = score(network, network, self.task, itertools.chain(first, batches))
            valid, train = (score(network, network, self.task, self.task.unaugmented(s)) for s in (Split.VALID, Split.WEIGHTS))
            counted = operations(network, iter(first))
            self._keep("done", **test_figures(network, test, valid, train, counted))
            self.emit(StageDone("test", time.perf_counter() - began))
        self.emit(RunDone(self.store.path, self.result))
        return self.result


def _new_store(out: str | Path | None, config: RunConfig) -> RunDirectory:
    if out is not None:
        return RunDirectory.create(Path(out))
    stem = f"{config.strategy.name}-{config.space.name}-{config.dataset.name}-{config.seed}"
    taken = (Path("runs") / (stem + (f"-{n}" if n else "")) for n in itertools.count())
    return RunDirectory.create(next(path for path in taken if not path.exists()))


def _reporters(quiet: bool) -> list[str]:
    return ["jsonl"] if quiet else ["jsonl", "console"]


def _prepared(source: Source, out: str | Path | None, sets: Sequence[str], settings: dict[str, Any]) -> tuple[Run, RunDirectory]:
    config = configure(source, sets, **settings)
    prepared = Run(config)
    return prepared, _new_store(out, config)


def run(
    config: Source = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    set: Sequence[str] = (),
    quiet: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """Search, retrain, test; returns the content of ``result.json``.

    ``config`` is a TOML file, plain data, a :class:`RunConfig` or nothing; ``settings`` are the flags of ``nastk run``
    (``strategy="darts"``, ``seed=1``) and tables (``model={"channels": 8}``); ``out`` is a new or empty directory
    (default: a fresh one below ``runs/``); ``resume`` goes on with an existing one and takes no other setting.
    Raises :class:`NastkError` for all that a user can mend.
    """
    if resume is not None:
        if config is not None or settings or set or out is not None:
            raise NastkError("A resumed run takes its settings from its own directory: give --resume alone.")
        store = RunDirectory.open(Path(resume))
        prepared = Run(config_of(store))
    else:
        prepared, store = _prepared(config, out, set, settings)
    with prepared.writing(store, _reporters(quiet), resumed=resume is not None):
        if (store.path / "genotype.json").is_file():
            genotype = read_genotype(store.path / "genotype.json", prepared)
            if prepared.result["genotype"] is None:  # killed while it was being stored
                prepared.take(genotype)
        else:
            genotype = prepared.search()
        return prepared.test(prepared.train(genotype))


def search(
    config: Source = None, *, out: str | Path | None = None, set: Sequence[str] = (), quiet: bool = True, **settings: Any
) -> Genotype:
    """The first stage of :func:`run` alone: the found genotype."""
    prepared, store = _prepared(config, out, set, settings)
    with prepared.writing(store, _reporters(quiet), resumed=False):
        return prepared.search()


def train(
    genotype: str | Path | Genotype,
    config: Source = None,
    *,
    out: str | Path | None = None,
    set: Sequence[str] = (),
    quiet: bool = True,
    **settings: Any,
) -> Path:
    """Train the network of a genotype (or of a genotype file) from scratch; returns the run directory.

    Space and ``[model]`` are those of the genotype unless the settings say otherwise: ``model={"channels": 64}`` trains
    the same cells wider.
    """
    if not isinstance(genotype, Genotype):
        genotype = load_genotype(Path(genotype))
    configured = configure(config, set, settings_of(genotype), **settings)
    prepared = Run(configured)
    genotype = resized(genotype, configured.model)
    prepared.space.encode(genotype)
    store = _new_store(out, configured)
    with prepared.writing(store, _reporters(quiet), resumed=False):
        prepared.result["strategy"] = None  # nothing was searched here
        prepared.take(genotype)
        prepared.train(genotype)
    return store.path


def evaluate(directory: str | Path, *, quiet: bool = True) -> dict[str, Any]:
    """Open the test data for a trained run that has not done so; returns the content of ``result.json``."""
    store = RunDirectory.open(Path(directory))
    prepared = Run(config_of(store))
    genotype = read_genotype(store.path / "genotype.json", prepared)
    saved = store.load(Trainer.stage)
    if saved is None or saved["epoch"] < prepared.config.train.epochs:
        raise OutputError(f"{directory} holds no finished training: go on with `nastk run --resume {directory}`.")
    network = prepared.build(genotype)
    network.load_state_dict(saved["weights"])
    with prepared.writing(store, _reporters(quiet), resumed=True):
        return prepared.test(network)


def load_genotype(path: Path) -> Genotype:
    """A genotype file. Raises :class:`OutputError` when it cannot be read, :class:`SchemaError` when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"The genotype {path} cannot be read: {error}.") from error
    return Genotype.from_json(text, str(path))


def read_genotype(path: Path, prepared: Run) -> Genotype:
    """The genotype file of a run. Raises as :func:`load_genotype`, and :class:`NotInSpace`."""
    genotype = load_genotype(path)
    prepared.space.encode(genotype)
    return genotype
