"""Classification that is asked to be right at every time step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from attrs import field, frozen
from attrs.validators import and_, ge, le
from torch import Tensor

from nastk.core import mark
from nastk.core.data.splits import TrainingData
from nastk.core.data.task import Task


@frozen(kw_only=True)
class TemporalEfficientConfig:
    """Settings of ``tet``."""

    lamb: float = field(
        default=0.0, validator=and_(ge(0), le(1)), metadata={"help": "share of the penalty that holds every logit near phi"}
    )
    phi: float = field(default=1.0, metadata={"help": "the value that the penalty pulls to; the authors' code has 1"})


@mark.task(
    "tet",
    config=TemporalEfficientConfig,
    paper="Deng et al., Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting, ICLR 2022",
)
class TemporalEfficient(Task):
    """Temporal efficient training: the mean over time of each step's cross-entropy (Deng et al., ICLR 2022).

    ``(1 - lamb) mean_t CE(o[t], y) + lamb mean_t MSE(o[t], phi)``, eq. 9 to 11. ``lamb = 0``, the default, is the first
    term alone, as SpikingJelly has it. The prediction is the mean over time, as in ``classification``.
    """

    def __init__(self, data: TrainingData, config: TemporalEfficientConfig) -> None:
        super().__init__(data)
        self.lamb, self.phi = config.lamb, config.phi

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        logits_NK = logits_TBK.flatten(0, 1)
        loss = F.cross_entropy(logits_NK, y_B.repeat(len(logits_TBK)), label_smoothing=label_smoothing)
        if not self.lamb:
            return loss
        return (1 - self.lamb) * loss + self.lamb * F.mse_loss(logits_TBK, torch.full_like(logits_TBK, self.phi))
