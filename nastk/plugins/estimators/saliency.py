"""Scores from the gradient of each weight: how much a weight matters before any training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nastk.core import mark
from nastk.core.model.attention import Attention
from nastk.core.model.network import Network
from nastk.core.model.neuron import Neuron
from nastk.plugins.estimators.probing import AtInitialisation, BatchConfig, InitialConfig, OnBatch, Question, layers

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def gradients(output: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """The gradient of a number to each weight; zeros where it does not depend on it."""
    found = torch.autograd.grad(output, weights, allow_unused=True)
    return [torch.zeros_like(w) if grad is None else grad for w, grad in zip(weights, found, strict=True)]


class OfLoss(OnBatch):
    """A score from the gradient of the cross-entropy of the logits, their mean over T, to the weights."""

    def of_loss(self, network: Network, question: Question) -> list[tuple[Tensor, Tensor]]:
        """Each layer's weights with their gradient."""
        x_TBCHW, y_B = self.images(question)
        weights = layers(network)
        loss = F.cross_entropy(network(x_TBCHW).mean(0), y_B)
        return list(zip(weights, gradients(loss, weights), strict=True))


@mark.estimator(
    "snip",
    config=BatchConfig,
    paper="Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR 2019",
)
class Snip(OfLoss):
    """Sum over weights of |weight x gradient of the loss|: what cutting each weight would change at first order.

    As a score of a whole network: Abdelfattah et al., ICLR 2021. Over convolutions and linear layers; spikes have their
    surrogate's gradient. The labels of noise images are random.
    """

    def score(self, network: Network, question: Question) -> float:
        return sum(float((weight.detach() * grad).abs().sum()) for weight, grad in self.of_loss(network, question))


@mark.estimator("grad-norm", config=BatchConfig, paper="Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021")
class GradNorm(OfLoss):
    """Sum over layers of the norm of the loss's gradient to the layer's weights.

    Over convolutions and linear layers; spikes have their surrogate's gradient. The labels of noise images are random.
    """

    def score(self, network: Network, question: Question) -> float:
        return sum(float(grad.norm()) for _, grad in self.of_loss(network, question))


@mark.estimator(
    "synflow",
    config=InitialConfig,
    paper="Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020",
)
class Synflow(AtInitialisation[InitialConfig]):
    """Sum over weights of weight x gradient of the summed logits, all weights made positive, on an image of ones.

    The network is made linear: norms, attention and neurons hand their input on. On positive input a ReLU does so anyhow;
    a spiking neuron is taken as its current at every time step, so leak, threshold and reset have no say. What is left
    are convolutions, poolings and sums, and the score is the sum over all paths of the product of weights, each path
    counted once for every weight on it. No data, float64; logits are the mean over T. As a score of a whole network:
    Abdelfattah et al., ICLR 2021.
    """

    def score(self, network: Network, question: Question) -> float:
        linearise(network.double().eval())
        T, *rest = question.sample
        weights = layers(network)
        total = network(torch.ones(T, 1, *rest, dtype=torch.float64)).mean(0).sum()
        pairs = zip(weights, gradients(total, weights), strict=True)
        return sum(float((weight.detach() * grad).sum()) for weight, grad in pairs)


@torch.no_grad()
def linearise(network: nn.Module) -> None:
    """All parameters become positive; norms, attention and neurons hand their input on."""
    for parameter in network.parameters():
        parameter.abs_()
    for module in network.modules():
        if isinstance(module, (*NORMS, Attention, Neuron)):
            module.register_forward_hook(_hand_on)


def _hand_on(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Any:
    return (args[0], output[1]) if isinstance(module, Neuron) else args[0]
