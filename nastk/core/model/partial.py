"""Partial channels (Xu et al., PC-DARTS, ICLR 2020): a share of the channels is mixed, the others pass by."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nastk.core.types import Shape


def passed_by(mixed_TBCHW: Tensor | None, x_TBCHW: Tensor, out: Shape, share: int) -> Tensor:
    """The mixed channels, ``out.C / share`` of them, and the rest of the source's, shuffled: ``(T, B, out.C, H, W)``.

    Where the edge halves height and width, so does a 2x2 maximum on what passes by (odd sizes rounded up). Without a
    mixed part (all candidates ``none``) its channels are zero. The shuffle takes the channels in turn from ``share``
    groups, so that other ones are mixed at the next node.
    """
    beside = x_TBCHW[:, :, out.C // share :]
    if beside.shape[-2:] != (out.H, out.W):
        folded = F.max_pool2d(beside.flatten(0, 1), 2, 2, ceil_mode=True)
        beside = torch.unflatten(folded, 0, x_TBCHW.shape[:2])
    if mixed_TBCHW is None:
        mixed_TBCHW = torch.zeros_like(beside[:, :, : out.C // share])
    whole_TBHWC = torch.cat([mixed_TBCHW.movedim(2, -1), beside.movedim(2, -1)], dim=-1)  # channels stay last in memory
    shuffled_TBHWC = torch.unflatten(whole_TBHWC, -1, (share, out.C // share)).transpose(-2, -1).flatten(-2)
    return shuffled_TBHWC.movedim(-1, 2)
