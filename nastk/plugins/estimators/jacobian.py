"""A score from the Jacobian: how differently an untrained network responds around each image."""

from __future__ import annotations

import torch
from torch import Tensor

from nastk.core import mark
from nastk.core.model.network import Network
from nastk.plugins.estimators.codes import correlations
from nastk.plugins.estimators.probing import BatchConfig, OnBatch, Question

GUARD = 1e-5
"""The k of the paper's score, added to each eigenvalue."""


@mark.estimator(
    "jacobian-covariance",
    config=BatchConfig,
    paper="Mellor et al., Neural Architecture Search without Training, arXiv 2006.04647v1, 2020",
)
class JacobianCovariance(OnBatch):
    """How uncorrelated the gradients of the summed logits to the image are, over a batch.

    ``-sum(log(v + k) + 1 / (v + k))`` over the eigenvalues v of the correlation matrix of the gradients, ``k = 1e-5``: the
    score of the paper's first version. Logits are the mean over T, spikes have their surrogate's gradient, norms are
    those of training. Gradients that are constant count as equal (:func:`correlations`).
    """

    def score(self, network: Network, question: Question) -> float:
        x_TBCHW, _ = self.images(question)
        return eigenvalue_score(jacobians(network, x_TBCHW))


def jacobians(network: Network, x_TBCHW: Tensor) -> Tensor:
    """The gradient of the summed logits to each image, ``(B, T*C*H*W)``; zeros where they do not depend on it."""
    x = x_TBCHW.clone().requires_grad_()
    (grad,) = torch.autograd.grad(network(x).mean(0).sum(), [x], allow_unused=True)
    return (torch.zeros_like(x) if grad is None else grad).transpose(0, 1).flatten(1)


def eigenvalue_score(jacobian_BN: Tensor) -> float:
    """Largest, ``-B (log(1 + k) + 1 / (1 + k))``, where no two rows are correlated."""
    v_B = torch.linalg.eigvalsh(correlations(jacobian_BN)).clamp_min(0) + GUARD
    return -float((v_B.log() + 1 / v_B).sum())
