"""Classification by the mean squared error of firing rates."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from nastk.core import mark
from nastk.core.data.task import Task


@mark.task("rate-mse")
class RateMse(Task):
    """Mean squared error between the outputs' mean over time and one-hot labels.

    ``mean_bk (mean_t o[t, b, k] - target[b, k])^2``; with label smoothing s the target is ``(1 - s) one_hot + s / K``. The
    prediction is the mean over time, as in ``classification``.
    """

    def loss(self, logits_TBK: Tensor, y_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
        rate_BK = logits_TBK.mean(0)
        target_BK = F.one_hot(y_B, rate_BK.shape[-1]).to(rate_BK.dtype)
        return F.mse_loss(rate_BK, (1 - label_smoothing) * target_BK + label_smoothing / rate_BK.shape[-1])
