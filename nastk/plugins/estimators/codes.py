"""Binary codes of neurons: which fire (or let a current through) on which image, and how images are told apart by them.

The code of a layer is ``(T, B, n)``, true where its output is above zero: spikes, or the open gates of a ReLU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nastk.core.model.neuron import Neuron


class Seen(NamedTuple):
    """One call of a module: what came in and what went out."""

    module: nn.Module
    x: Tensor
    out: Tensor


def watched(network: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...], x_TBCHW: Tensor) -> list[Seen]:
    """A forward pass, and the calls of modules of these kinds on whose output the logits depend, in order."""
    calls: list[Seen] = []

    def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        calls.append(Seen(module, args[0], output[0] if isinstance(output, tuple) else output))

    handles = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, kinds)]
    try:
        logits = network(x_TBCHW)
    finally:
        for handle in handles:
            handle.remove()
    behind = _behind(logits)
    return [call for call in calls if call.out.grad_fn in behind]


def _behind(tensor: Tensor) -> set[object]:
    """Every step of autograd that a tensor came by."""
    found: set[object] = set()
    left = [tensor.grad_fn]
    while left:
        step = left.pop()
        if step is not None and step not in found:
            found.add(step)
            left += [before for before, _ in step.next_functions]
    return found


def codes(network: nn.Module, x_TBCHW: Tensor) -> list[Tensor]:
    """The code ``(T, B, n)`` of each layer of neurons, in float64: one where the output is above zero, else zero."""
    return [(call.out.detach() > 0).flatten(2).double() for call in watched(network, Neuron, x_TBCHW)]


def hamming(code_BN: Tensor) -> Tensor:
    """Number of neurons in which the codes of two images differ, ``(B, B)``."""
    ones_B = code_BN.sum(1)
    return ones_B[:, None] + ones_B[None, :] - 2 * (code_BN @ code_BN.T)


def correlations(rows_BN: Tensor) -> Tensor:
    """Pearson's correlation of the rows, ``(B, B)``, in float64.

    Rows without variance have none; they are taken as equal to one another (1) and unlike all others (0).
    """
    rows = rows_BN.double()
    centred = rows - rows.mean(1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    flat = (rows == rows[:, :1]).all(1, keepdim=True)
    units = torch.where(flat, 0.0, centred / lengths.clamp_min(torch.finfo(torch.float64).tiny))
    return (units @ units.T + flat.double() @ flat.double().T).clamp(-1, 1)


def log_determinant(k_BB: Tensor) -> float:
    """``log|det K|`` of a symmetric matrix, by its eigenvalues.

    An eigenvalue below the rounding of the largest one (``B * eps`` of it) counts as that rounding, so that codes which do
    not tell two images apart have a low score, not minus infinity. No layer at all: that of the smallest number.
    """
    sizes_B = torch.linalg.eigvalsh(k_BB.double()).abs()
    number = torch.finfo(torch.float64)
    return float(sizes_B.clamp_min(max(len(sizes_B) * number.eps * float(sizes_B.max()), number.tiny)).log().sum())
