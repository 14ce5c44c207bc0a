"""A run: search, derive, retrain from scratch, open the test data once, report. Each stage is also a command."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nastk.core.cell.graph import Genotype
from nastk.core.cell.resize import resized, settings_of
from nastk.core.data.splits import TrainingData
from nastk.core.data.task import Task
from nastk.core.data.testset import test_batches
from nastk.core.errors import NastkError, OutputError
from nastk.core.events import Notice, RunDone, StageDone, StageStarted
from nastk.core.model.compute import Compute
from nastk.core.model.network import Network
from nastk.core.ranks import ranks
from nastk.core.run.divergence import Alert
from nastk.core.run.manifest import config_of
from nastk.core.run.parallel import joined, own_directory, own_folder, shared
from nastk.core.run.precision import settled
from nastk.core.run.proxy import Proxy
from nastk.core.run.result import BATCHES, operations, test_figures
from nastk.core.run.runfile import Source, configure
from nastk.core.run.session import DRAWS, GENOTYPE, RESULT, Session
from nastk.core.run.store import RunDirectory
from nastk.core.run.tabular import TabularRun
from nastk.core.run.train_stage import BEST, TrainStage
from nastk.core.run.training import Trainer
from nastk.core.run.training import evaluate as score
from nastk.core.run.trial import Evaluation, TrainedTrials
from nastk.core.seeds import rng, seeded
from nastk.core.settings import RunConfig
from nastk.core.types import Split


class Run(Session):
    """A run on data: the found network is trained from scratch and tested once."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.task.data.steps(config.train.batch, *self.splits)
        self._check_networks()

    def evaluation(self) -> Evaluation:
        self.dataset = self.config.dataset.build()
        data = TrainingData(self.dataset, self.config.split, self.config.seed, self.device, ranks())
        self.task: Task = self.config.task.build(data)
        self.config, self.notices = settled(self.config, self.space, self.task)
        proxy = Proxy(self.space, self.config)
        config = self.config
        compute, explosion = Compute.of(config), config.divergence.explosion
        return TrainedTrials(self.task, config.train, config.seed, proxy, self.stop.check, compute, explosion)

    def finish(self, genotype: Genotype) -> dict[str, Any]:
        network = self.train(genotype)
        return self.result if ranks().rank else self.test(network)

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
                        Network(sized, self.task.data.shape, self.task.outputs)
                return
            except NastkError as error:  # with searched parts, another member may fit
                fault = error
        raise fault

    def build(self, genotype: Genotype) -> Network:
        """The network of a genotype at full size, with fresh weights that depend on the seed and the genotype alone."""
        with seeded(self.config.seed, "final weights", genotype.digest):
            sample, outputs, side = self.task.data.shape, self.task.outputs, self.config.train.auxiliary > 0
            network = Network(genotype, sample, outputs, auxiliary=side, compute=Compute.of(self.config))
        return joined(network.to(self.device))

    def trainer(self, network: Network) -> Trainer:
        """Who trains the final network."""
        config = self.config
        within, alert = self.within(Trainer.stage), Alert(config.divergence.explosion)
        return Trainer(network, self.task, config.train, config.seed, self.emit, self.splits, config.capture, within, alert)

    def train(self, genotype: Genotype) -> Network:
        """Train the network of a genotype from scratch, one checkpoint an epoch."""
        network = self.build(genotype)
        figures = TrainStage(self.trainer(network), self.store, self.config).run()
        if self.result["status"] != "done":  # the test data of a finished run are not opened again
            self._keep("trained", train=figures)
        return network

    def test(self, network: Network, epoch: int | None = None) -> dict[str, Any]:
        """Open the test data, once, and complete the result; the weights are those of ``epoch``, the last unless given."""
        if self.result["status"] == "done":
            self.emit(Notice("The test data of this run was opened before: this is the stored result."))
        else:
            self.emit(StageStarted("test", 1, "passes"))
            began = time.perf_counter()
            batches = test_batches(self.dataset, self.task.data)
            first = list(itertools.islice(batches, BATCHES))
            test = score(network, network, self.task, itertools.chain(first, batches))
            seen = (Split.VALID, Split.WEIGHTS)
            valid, train = (score(network, network, self.task, self.task.data.unaugmented(split)) for split in seen)
            counted = operations(network, iter(first))
            self._keep("done", **test_figures(network, epoch or self.config.train.epochs, test, valid, train, counted))
            self.emit(StageDone("test", time.perf_counter() - began))
        self.emit(RunDone(self.store.path, self.result))
        return self.result


def prepare(config: RunConfig) -> Session:
    """The run that a configuration asks for: on data, or on a table of candidates that somebody trained."""
    return Run(config) if config.benchmark is None else TabularRun(config)


def _new_store(out: str | Path | None, config: RunConfig) -> RunDirectory:
    if ranks().rank:
        return RunDirectory.create(own_folder())
    if out is not None:
        return RunDirectory.create(Path(out))
    stem = f"{config.strategy.name}-{config.space.name}-{config.dataset.name}-{config.seed}"
    taken = (Path("runs") / (stem + (f"-{n}" if n else "")) for n in itertools.count())
    return RunDirectory.create(next(path for path in taken if not path.exists()))


def _reporters(quiet: bool) -> list[str]:
    return ["jsonl"] if quiet else ["jsonl", "console"]


def _prepared(
    source: Source, out: str | Path | None, sets: Sequence[str], settings: dict[str, Any]
) -> tuple[Session, RunDirectory]:
    config = configure(source, sets, **settings)
    prepared = prepare(config)
    return prepared, _new_store(out, config)


@shared
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
        store = own_directory(Path(resume))
        prepared = prepare(config_of(store))
    else:
        prepared, store = _prepared(config, out, set, settings)
    with prepared.writing(store, _reporters(quiet), resumed=resume is not None):
        if (store.path / GENOTYPE).is_file():
            genotype = stored_genotype(store, prepared)
            if prepared.result["genotype"] is None:  # killed while it was being stored
                prepared.take(genotype)
        else:
            genotype = prepared.search()
        return prepared.finish(genotype)


@shared
def search(
    config: Source = None, *, out: str | Path | None = None, set: Sequence[str] = (), quiet: bool = True, **settings: Any
) -> Genotype:
    """The first stage of :func:`run` alone: the found genotype."""
    prepared, store = _prepared(config, out, set, settings)
    with prepared.writing(store, _reporters(quiet), resumed=False):
        return prepared.search()


@shared
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


def evaluate(directory: str | Path, *, best: bool = False, quiet: bool = True) -> dict[str, Any]:
    """Open the test data for a trained run that has not done so; returns the content of ``result.json``.

    The weights are those of the last epoch; with ``best`` those of the epoch with the best accuracy on VALID, which a
    training with ``train.data = "hold-out"`` keeps. Raises :class:`OutputError` where they are not there.
    """
    store = RunDirectory.open(Path(directory))
    prepared = Run(config_of(store))
    genotype = stored_genotype(store, prepared)
    saved = store.load(Trainer.stage)
    if saved is None or saved["epoch"] < prepared.config.train.epochs:
        raise OutputError(f"{directory} holds no finished training: go on with `nastk run --resume {directory}`.")
    if best and (saved := store.load(BEST)) is None:
        raise OutputError(f'{directory} keeps no best network: there is one where VALID is held out (train.data = "hold-out").')
    network = prepared.build(genotype)
    network.load_state_dict(saved["weights"])
    with prepared.writing(store, _reporters(quiet), resumed=True):
        return prepared.test(network, saved["epoch"])


def load_genotype(path: Path) -> Genotype:
    """A genotype file. Raises :class:`OutputError` when it cannot be read, :class:`SchemaError` when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"The genotype {path} cannot be read: {error}.") from error
    return Genotype.from_json(text, str(path))


def stored_genotype(store: RunDirectory, prepared: Session) -> Genotype:
    """The genotype of a run. Raises as :func:`load_genotype`, :class:`NotInSpace`, and :class:`OutputError` for another one."""
    path = store.path / GENOTYPE
    genotype = load_genotype(path)
    prepared.space.encode(genotype)
    found = store.read_json(RESULT)["genotype"] if (store.path / RESULT).is_file() else None
    if found is not None and found["digest"] != genotype.digest:
        raise OutputError(f"{path} is not the genotype that this run found, {found['digest']}: it was exchanged for another one.")
    return genotype
