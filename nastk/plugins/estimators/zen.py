"""A score from a perturbation: how far the features move with the image."""

from __future__ import annotations

import math
from typing import Any

import torch
from attrs import field, frozen
from attrs.validators import ge, gt
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.network import Chain, Network
from nastk.core.seeds import generator
from nastk.plugins.estimators.codes import Seen, watched
from nastk.plugins.estimators.probing import WEIGHTED, AtInitialisation, InitialConfig, Question


@frozen(kw_only=True)
class ZenConfig(InitialConfig):
    """Settings of ``zen``."""

    batch: int = field(default=32, validator=ge(2), metadata={"help": "pairs of noise images in each repeat"})
    gamma: float = field(default=0.01, validator=gt(0), metadata={"help": "size of the perturbation"})


@mark.estimator(
    "zen",
    config=ZenConfig,
    paper="Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021",
)
class Zen(AtInitialisation[ZenConfig]):
    """Log of how far the last cell's features move when noise is added to noise, what norms scale away put back.

    ``log mean_b sum|f(x) - f(x + gamma e)| + sum over norms of log sqrt(mean over channels of (variance + eps))``, x and e from
    N(0, 1), weights of convolutions and linear layers too, f the mean over T in front of the average pooling. Zen-like: the
    paper scores the plain chain of layers, without residual links; here the network is scored as it is, skips and
    attention in it. Spikes move in steps: where none does, the distance counts as the smallest number. Features that do not
    depend on the image have that score.
    """

    def score(self, network: Network, question: Question) -> float:
        draws = generator(self.config.seed, "perturbation", question.repeat)
        T, *rest = question.sample
        x_TBCHW, e_TBCHW = (torch.randn(T, self.config.batch, *rest, generator=draws) for _ in range(2))
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, WEIGHTED):
                    layer.weight.normal_(generator=draws)
        norms, before_BCHW, after_BCHW = _features(network, x_TBCHW, x_TBCHW + self.config.gamma * e_TBCHW)
        distance = float((before_BCHW - after_BCHW).double().abs().flatten(1).sum(1).mean())
        scaled = sum(_log_scale(call.module, call.x.detach()) for call in norms)
        return math.log(max(distance, torch.finfo(torch.float64).tiny)) + scaled


def _features(network: Network, first_TBCHW: Tensor, second_TBCHW: Tensor) -> tuple[list[Seen], Tensor, Tensor]:
    """What the norms see of the first images, and what leaves the last cell for both, mean over T: ``(B, C, H, W)``."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _args: Any, output: Tensor) -> None:
        found.append(output.detach().mean(0))

    assert isinstance(network.body, Chain)  # a member's path is fixed
    with network.body.cells[-1].register_forward_hook(keep):
        norms = watched(network, nn.modules.batchnorm._BatchNorm, first_TBCHW)
        with torch.no_grad():
            network(second_TBCHW)
    before, after = found
    return norms, before, after


def _log_scale(norm: Any, x: Tensor) -> float:
    """The log of what a batch norm divides by, in the mean over its channels (the second axis)."""
    variance_C = x.double().transpose(0, 1).flatten(1).var(1, correction=0)
    return 0.5 * math.log(float((variance_C + norm.eps).mean()))
