"""NAS-Bench-Macro: 6,561 chains of inverted bottlenecks, trained on CIFAR-10.

Where the numbers come from: NAS-Bench-Macro (Xiu Su and others), https://github.com/xiusu/NAS-Bench-Macro, under the
Apache licence 2.0. ``examples/tables/from_nas_bench_macro.py`` makes the file below from its ``nas-bench-macro_cifar10.json``.

==============  =============  =====================================================================
key             shape          content
==============  =============  =====================================================================
``arch``        ``(6561, 8)``  codes of the layers: 0 identity, 1 MB3 3x3, 2 MB6 5x5
``test_acc``    ``(6561, R)``  accuracy on the test images in percent, one column a training
``params``      ``(6561,)``    number of parameters
``flops``       ``(6561,)``    multiply-accumulates of the convolutions and the classifier
==============  =============  =====================================================================

What is not there: a validation accuracy. The networks were trained on all 50,000 training images for 50 epochs, and
an entry is the best accuracy on the test images over the epochs (the authors' program). So a search sees the accuracy of one
training as its noisy observation, and is judged by the mean over the trainings, which has that one in it. Members that
differ only in where the identities of a stage stand were trained once: 6,561 members share 3,969 trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from attrs import field, frozen
from attrs.validators import ge, matches_re

from nastk.core import mark
from nastk.core.cell.graph import Genotype
from nastk.core.errors import DataError, NotInSpace, SchemaError
from nastk.core.run.benchmark import Benchmark
from nastk.core.types import Pairs, Shape
from nastk.plugins.benchmarks.tables import Column, amounts, difference, read_table, shares
from nastk.plugins.spaces.macro import LAYERS, OPERATIONS, SIZE, number_of

SHA256 = "535d9c09b0d7572c06da822b2400dcb893037b8ce7d2b4179b29822996f954e5"
EPOCHS = 50
TRAINED: Pairs = (("neuron", "relu"), ("time_steps", 1), ("attention", "none"))
"""The parts with which the networks of the table were trained."""
COLUMNS = {
    "arch": Column((SIZE, len(LAYERS)), "iu"),
    "test_acc": Column((SIZE, None), "f"),
    "params": Column((SIZE,), "iu"),
    "flops": Column((SIZE,), "iu"),
}


@frozen(kw_only=True)
class NasBenchMacroConfig:
    """Settings of ``nas-bench-macro``."""

    path: str = field(default="", metadata={"help": "an .npz or .npz.xz file with the table"})
    sha256: str = field(
        default=SHA256,
        validator=matches_re(r"|[0-9a-fA-F]{64}"),
        metadata={"help": "SHA-256 that the file must have; empty: any"},
    )
    repetition: int = field(
        default=0, validator=ge(0), metadata={"help": "the training whose accuracy a search sees, from 0"}
    )


@mark.benchmark(
    "nas-bench-macro",
    config=NasBenchMacroConfig,
    paper="Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021",
)
class NasBenchMacro(Benchmark):
    """6,561 chains of eight layers on CIFAR-10: one training to search by, the mean over all as the truth; a file of your own.

    Both are accuracies on the test images: the table has no validation accuracy, so a search on it is optimistic by the
    share that its own observation has in the mean. A genotype with another neuron than ReLU, more time steps or an
    attention is refused; its channels are not looked at.

    Raises :class:`DataError` for a file that is missing or damaged, :class:`SchemaError` for one with other contents.
    """

    defaults: ClassVar = {"space": "macro", "strategy": "random-search", "model": {"neuron": "relu", "time_steps": 1}}
    epochs = (EPOCHS,)
    shape = Shape(1, 3, 32, 32)
    classes = 10

    def __init__(self, config: NasBenchMacroConfig) -> None:
        if not config.path:
            raise DataError(
                "The table of nas-bench-macro is not bundled: set benchmark.path to the file that "
                "examples/tables/from_nas_bench_macro.py has made from https://github.com/xiusu/NAS-Bench-Macro."
            )
        path = Path(config.path).expanduser()
        arrays = read_table(path, COLUMNS, config.sha256)
        weights_L = len(OPERATIONS) ** np.arange(len(LAYERS))[::-1]
        if arrays["arch"].max() >= len(OPERATIONS) or not np.array_equal(arrays["arch"] @ weights_L, np.arange(SIZE)):
            raise SchemaError(f"{path}: arch does not list the {SIZE} architectures in the order of their digits.")
        runs_NR = shares(arrays["test_acc"], f"{path}: test_acc")
        if config.repetition >= runs_NR.shape[1]:
            raise DataError(f"{path} has {runs_NR.shape[1]} trainings of a member, there is no number {config.repetition}.")
        self._seen: list[float] = runs_NR[:, config.repetition].tolist()
        self._test: list[float] = runs_NR.mean(axis=1).tolist()
        self._parameters: list[int] = arrays["params"].tolist()
        self._macs: list[float] = amounts(arrays["flops"], f"{path}: flops").tolist()

    def look_up(self, genotype: Genotype, epochs: int = EPOCHS) -> Mapping[str, float]:
        """``accuracy``, a share, of one training; ``parameters``; ``macs`` of one image.

        Raises :class:`NotInSpace` for a genotype that is not in the table, :class:`DataError` for other ``epochs``.
        """
        number = self.index(genotype)
        if epochs != EPOCHS:
            raise DataError(f"The table nas-bench-macro has figures after {EPOCHS} epochs, not after {epochs}.")
        return {"accuracy": self._seen[number], "parameters": self._parameters[number], "macs": self._macs[number]}

    def test(self, genotype: Genotype) -> float:
        """The mean accuracy over the trainings that the table has, a share."""
        return self._test[self.index(genotype)]

    @property
    def optimum(self) -> float:
        """The best mean accuracy in the table, a share: what :meth:`test` falls short of is the regret."""
        return max(self._test)

    def index(self, genotype: Genotype) -> int:
        """The architecture's digits as a number to the base 3, in ``range(6561)``."""
        if fault := difference(genotype.parts, TRAINED):
            raise NotInSpace(f"The genotype {genotype.digest} is not in the table nas-bench-macro: {fault}.")
        return number_of(genotype)
