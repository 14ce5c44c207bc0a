"""Classification by the mean of the logits over time."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from nastk.core import mark
from nastk.core.data.task import Task


@mark.task("classification")
class Classification(Task):
    """Cross-entropy of the logits' mean over time."""

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits_TBK.mean(0), y_B, label_smoothing=label_smoothing)
