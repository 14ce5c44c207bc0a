"""Augmentation and normalisation of a whole batch at once: uint8 samples in, ``(T, B, C, H, W)`` floats out.

    T time steps   B batch   C channels   H, W height and width   N samples of a data set

Random crop after zero padding and horizontal flip are those of He et al., "Deep Residual Learning for Image
Recognition" (CVPR 2016, section 4.2); cutout is DeVries and Taylor, arXiv:1708.04552. For events there are two more,
on frames in place of events: a shift in time, and pixels that lose their events.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nastk.core import seeds
from nastk.core.data.dataset import Augmentation
from nastk.core.errors import ShapeError

STD_FLOOR = 1e-3
"""A constant channel has no spread to divide by: its standard deviation is taken as this."""

_DRAWS = 5  # numbers a sample takes: crop row, crop column, flip, cutout row, cutout column


def statistics(x_NCHW: Tensor, chunk: int = 2048) -> tuple[Tensor, Tensor]:
    """Mean and (population) standard deviation of each channel of uint8 samples, in units of [0, 1].

    ``x`` is ``(N, C, H, W)`` or ``(N, T, C, H, W)``; both answers are float32 ``(C,)``, the second at least
    ``STD_FLOOR``. Exact: byte values are counted, ``chunk`` samples at a time. Raises :class:`ShapeError`.
    """
    _check(x_NCHW)
    channels = x_NCHW.shape[-3]
    counts_CV = torch.zeros(channels, 256, dtype=torch.int64)
    for part in torch.split(x_NCHW, chunk):
        part_CN = part.movedim(-3, 0).reshape(channels, -1)
        counts_CV += torch.stack([torch.bincount(row, minlength=256) for row in part_CN]).cpu()
    values_V = torch.arange(256, dtype=torch.float64) / 255
    share_CV = counts_CV.double() / counts_CV.sum(1, keepdim=True).clamp(min=1)
    mean_C = share_CV @ values_V
    variance_C = (share_CV * (values_V - mean_C[:, None]).square()).sum(1)
    return mean_C.float(), variance_C.sqrt().clamp(min=STD_FLOOR).float()


class Augmenter:
    """Turns batches of raw samples into what a network reads: augmented for training, only normalised otherwise.

    ``mean`` and ``std`` are ``(C,)`` in units of [0, 1], as :func:`statistics` gives them. A sample of events keeps
    one crop, one flip and one blank square over all its time steps.
    """

    def __init__(self, augmentation: Augmentation, mean_C: Tensor, std_C: Tensor) -> None:
        self.augmentation = augmentation
        self.mean_C, self.std_C = mean_C, std_C
        self._shift_C11 = (mean_C.float() * 255)[:, None, None]
        self._scale_C11 = (std_C.float() * 255).reciprocal()[:, None, None]

    def train(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Crop, flip, shift in time, drop, normalise, cut out.

        uint8 ``(B, C, H, W)`` or ``(B, T, C, H, W)`` -> float32 ``(T, B, C, H, W)``.
        A random window of the image padded with zeros (black); mirrored left to right with probability 1/2; a square
        whose centre is a random pixel set to the mean (zero after normalising), clipped at the border. Of recordings, the
        steps moved by up to ``jitter`` either way, with zeros where none is left, and each pixel of each channel and step
        zero with probability ``drop``.
        The numbers come from ``generator``, on the CPU, in one row a sample: the answer is the same on every device,
        and switching one augmentation on leaves the others as they were. Raises :class:`ShapeError`.
        """
        _check(x)
        draws = torch.rand(len(x), _DRAWS, generator=generator, dtype=torch.float64)
        want = self.augmentation
        if want.crop:
            x = _crop(x, want.crop, draws[:, :2])
        if want.flip:
            mirrored_B = (draws[:, 2] < 0.5).to(x.device)
            x = torch.where(mirrored_B.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
        if want.jitter or want.drop:  # with numbers of their own, so that those of the others stay
            x = _disturbed(x, want, int(draws[0, 0] * 2**53))
        x = self._normalised(x)
        if want.cutout:
            x.masked_fill_(_square(want.cutout, draws[:, 3:], *x.shape[-2:]).to(x.device), 0.0)
        return x

    def evaluate(self, x: Tensor) -> Tensor:
        """Normalise only. uint8 ``(B, C, H, W)`` or ``(B, T, C, H, W)`` -> float32 ``(T, B, C, H, W)``.

        Raises :class:`ShapeError`.
        """
        _check(x)
        return self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        x_TBCHW = x.movedim(1, 0) if x.ndim == 5 else x[None]
        floats = x_TBCHW.to(torch.float32, memory_format=torch.contiguous_format)
        return floats.sub_(self._shift_C11.to(x.device)).mul_(self._scale_C11.to(x.device))


def _check(x: Tensor) -> None:
    if x.ndim not in (4, 5) or x.dtype != torch.uint8:
        raise ShapeError(f"Expected uint8 samples (B, C, H, W) or (B, T, C, H, W), got {x.dtype} {tuple(x.shape)}.")


def _crop(x: Tensor, pad: int, draws_B2: Tensor) -> Tensor:
    """One window of the padded batch a sample, by a single gather; height and width stay."""
    offset_B2 = (draws_B2 * (2 * pad + 1)).long().to(x.device)
    height, width = x.shape[-2:]
    padded = F.pad(x, (pad,) * 4)
    windows = padded.unfold(-2, height, 1).unfold(-2, width, 1)  # a view: (B, ..., 2 pad + 1, 2 pad + 1, H, W)
    which_B = torch.arange(len(x), device=x.device)
    windows = windows.movedim((-4, -3), (1, 2))
    return windows[which_B, offset_B2[:, 0], offset_B2[:, 1]]


def _disturbed(x: Tensor, want: Augmentation, seed: int) -> Tensor:
    """Steps shifted and pixels emptied; a sample's numbers lie in one row, as all others do."""
    if want.jitter and x.ndim == 5:
        draws_B = torch.rand(len(x), generator=seeds.generator(seed, "jitter"), dtype=torch.float64)
        x = _shifted(x, (draws_B * (2 * want.jitter + 1)).long() - want.jitter)
    if want.drop:
        draws = torch.rand(x.shape, generator=seeds.generator(seed, "drop"))
        x = x.masked_fill((draws < want.drop).to(x.device), 0)
    return x


def _shifted(x_BTCHW: Tensor, by_B: Tensor) -> Tensor:
    """Sample b's step t is its step ``t - by[b]``, zeros where there is none."""
    steps = x_BTCHW.shape[1]
    from_BT = torch.arange(steps) - by_B[:, None]
    there_BT = ((from_BT >= 0) & (from_BT < steps)).to(x_BTCHW.device)
    which_B1 = torch.arange(len(x_BTCHW), device=x_BTCHW.device)[:, None]
    moved = x_BTCHW[which_B1, from_BT.clamp(0, steps - 1).to(x_BTCHW.device)]
    return moved * there_BT[..., None, None, None]


def _square(side: int, draws_B2: Tensor, height: int, width: int) -> Tensor:
    """Where each sample is blanked, ``(B, 1, H, W)``: ``side`` pixels around a centre, less at the border."""
    centre_B2 = (draws_B2 * torch.tensor([height, width])).long()
    first_B2 = centre_B2 - side // 2

    def inside(first_B: Tensor, size: int) -> Tensor:
        distance_BS = torch.arange(size) - first_B[:, None]
        return (distance_BS >= 0) & (distance_BS < side)

    return (inside(first_B2[:, 0], height)[:, :, None] & inside(first_B2[:, 1], width)[:, None, :])[:, None]
