"""Scores from binary codes: how well an untrained network tells images apart, by which neurons fire."""

from __future__ import annotations

import torch

from nastk.core import mark
from nastk.core.model.network import Network
from nastk.plugins.estimators.codes import codes, correlations, hamming, log_determinant
from nastk.plugins.estimators.probing import BatchConfig, OnBatch, Question

RATE_GUARD = 1e-3
"""What the authors' code of SNASNet adds below its fraction, so that two silent layers do not divide by zero."""


@mark.estimator("naswot", config=BatchConfig, paper="Mellor et al., Neural Architecture Search without Training, ICML 2021")
class Naswot(OnBatch):
    """log|det K| of the binary codes of a batch; K counts the neurons that agree on two images.

    ``K[i, j] = N - d_H(c_i, c_j)`` with the Hamming distance of the codes of all N neurons (section 3 of the paper). The code
    of a ReLU is whether it is open, of a spiking neuron its spikes: one bit for each time step. Norms are those of
    training, over the batch.
    """

    def score(self, network: Network, question: Question) -> float:
        x_TBCHW, _ = self.images(question)
        k_BB = torch.zeros(self.config.batch, self.config.batch, dtype=torch.float64)
        for code_TBn in codes(network, x_TBCHW):
            code_BN = code_TBn.transpose(0, 1).flatten(1)
            k_BB += code_BN.shape[1] - hamming(code_BN)
        return log_determinant(k_BB)


@mark.estimator(
    "sahd",
    config=BatchConfig,
    paper="Kim et al., Neural Architecture Search for Spiking Neural Networks, ECCV 2022",
)
class SparsityAwareHammingDistance(OnBatch):
    """log|det K| as naswot's, the Hamming distance rescaled by how sparse two codes are (SNASNet).

    For a layer of n neurons at one time step, ``K[i, j] = n - 0.5 d_H / (r_i (1 - r_j) + (1 - r_i) r_j + 0.001)`` with the
    firing rates r; K is the mean over layers and time steps, as in the authors' code. So two random codes are half of n
    apart at any firing rate.
    """

    def score(self, network: Network, question: Question) -> float:
        x_TBCHW, _ = self.images(question)
        k_BB = torch.zeros(self.config.batch, self.config.batch, dtype=torch.float64)
        steps = [code_Bn for code_TBn in codes(network, x_TBCHW) for code_Bn in code_TBn]
        for code_Bn in steps:
            rate_B = code_Bn.mean(1)
            expected_BB = rate_B[:, None] * (1 - rate_B[None, :]) + (1 - rate_B[:, None]) * rate_B[None, :]
            k_BB += code_Bn.shape[1] - 0.5 * hamming(code_Bn) / (expected_BB + RATE_GUARD)
        return log_determinant(k_BB / max(len(steps), 1))


@mark.estimator(
    "rdm",
    config=BatchConfig,
    paper="Pan et al., Multi-scale Evolutionary Neural Architecture Search for Deep Spiking Neural Networks, TEVC 2024",
)
class RepresentationalDissimilarity(OnBatch):
    """Mean dissimilarity of images, 1 - Pearson's correlation of their binary codes, over layers (MSE-NAS).

    The mean of the representational dissimilarity matrix over pairs of images and over layers, in [0, 2]. The code of a
    layer is its spikes over all time steps. That a larger one is better, and that layers count alike, is a choice: the
    authors' code has several dissimilarities, and leaves the call out of its objective.
    """

    def score(self, network: Network, question: Question) -> float:
        x_TBCHW, _ = self.images(question)
        pairs = torch.ones(self.config.batch, self.config.batch).triu(1).bool()
        found = [1 - correlations(code_TBn.transpose(0, 1).flatten(1))[pairs].mean() for code_TBn in codes(network, x_TBCHW)]
        return float(torch.stack(found).mean()) if found else 0.0
