"""How good a member is with the weights of a trained supernet, and norm statistics of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import nn

from nastk.core.cell.graph import Genotype
from nastk.core.data.splits import Batch
from nastk.core.model.network import Network
from nastk.core.run.epoch import Scores
from nastk.core.run.strategy import SearchContext
from nastk.core.run.training import evaluate
from nastk.core.seeds import seeded
from nastk.core.types import Split


def inherited_scores(
    context: SearchContext, supernet: Network, genotype: Genotype, splits: Sequence[Split], batch: int, batches: int | None
) -> Scores:
    """Loss, accuracy and spikes on VALID of a member that inherits; nothing is learned.

    Its norms look at ``batches`` batches of ``splits`` first, those that trained the supernet; at all with ``None``.
    """
    network = context.network(genotype, affine=False)
    network.inherit(supernet)
    seen = context.task.data.batches(batch, context.seed, context.step, "recalibrate", splits=splits)
    with seeded(context.seed, context.step, "recalibrate"):  # an encoder may draw in training mode
        recalibrate(network, islice(seen, batches))
    return evaluate(network, network, context.task, context.task.data.unaugmented(Split.VALID))


@torch.no_grad()
def recalibrate(network: Network, batches: Iterable[Batch]) -> None:
    """Give a network with inherited weights norm statistics of its own: one pass in training mode, nothing is learned."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for x_TBCHW, _ in batches:
        network(x_TBCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
