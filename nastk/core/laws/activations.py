"""Activations for the laws of modules, and what attention and operations promise alike."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nastk.core.laws.law import ensure
from nastk.core.seeds import generator
from nastk.core.types import Shape

DTYPES = (torch.float64, torch.float32, torch.bfloat16)


def activations(shape: Shape, batch: int, seed: int, salt: str = "", scale: float = 2.0) -> Tensor:
    """``(T, B, C, H, W)`` in float64, normal with this scale; another one for another ``salt``."""
    size = (shape.T, batch, shape.C, shape.H, shape.W)
    return torch.randn(size, generator=generator(seed, "activations", salt), dtype=torch.float64) * scale


def answer(module: nn.Module, x_TBCHW: Tensor) -> Tensor:
    """What a copy of the module makes of a copy of the input.

    So a module that remembers, or writes into its input, breaks the law about that and no other. Random numbers, as
    of dropout, are the same at every call.
    """
    return call(copy.deepcopy(module), x_TBCHW.clone())


def call(module: nn.Module, x_TBCHW: Tensor) -> Tensor:
    """What the module itself makes of the input itself, with the same random numbers at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        y_TBCHW: Tensor = module(x_TBCHW)
    return y_TBCHW


def close(left: Tensor, right: Tensor) -> bool:
    """Equal within the rounding of float64; the order of additions is the module's affair."""
    return left.shape == right.shape and torch.allclose(left.double(), right.double(), rtol=1e-9, atol=1e-11)


def moved(module: nn.Module, seed: int) -> nn.Module:
    """A copy whose parameters are some way off their initial values, as after training."""
    other = copy.deepcopy(module)
    numbers = generator(seed, "moved")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=numbers, dtype=torch.float64), alpha=0.1)
    return other


def fits(y: Tensor, shape: tuple[int, ...]) -> None:
    """The answer has this shape and holds finite numbers."""
    ensure(y.shape == shape, f"the output's shape is {tuple(y.shape)} and should be {tuple(shape)}")
    ensure(y.isfinite().all(), "the output is not finite")


def follows_dtype(module: nn.Module, x_TBCHW: Tensor) -> None:
    """Module and input of one dtype give an output of that dtype."""
    for dtype in DTYPES:
        y = answer(copy.deepcopy(module).to(dtype), x_TBCHW.to(dtype))
        ensure(y.dtype == dtype, f"module and input are {dtype}, the output is {y.dtype}")
        ensure(y.isfinite().all(), f"the output is not finite in {dtype}")


def each_sample_alone(module: nn.Module, x_TBCHW: Tensor) -> None:
    """In evaluation mode a sample by itself gives what it gives among others."""
    module.eval()
    y_TBCHW = answer(module, x_TBCHW)
    for b in range(x_TBCHW.shape[1]):
        one = x_TBCHW[:, b : b + 1].contiguous()
        ensure(close(answer(module, one), y_TBCHW[:, b : b + 1]), f"sample {b} alone gives another output than in the batch")


def answers_again(module: nn.Module, x_TBCHW: Tensor, other: Tensor) -> None:
    """Equal inputs give equal outputs, whatever ran between; the input is left as it is."""
    given = x_TBCHW.clone()
    first = call(module, given).clone()
    call(module, other.clone())
    ensure(
        torch.equal(call(module, x_TBCHW.clone()), first),
        "the same input gave another output later: something is kept between calls",
    )
    ensure(torch.equal(given, x_TBCHW), "the input was written into")


def any_layout(module: nn.Module, x_TBCHW: Tensor) -> None:
    """The strides of the input make no difference."""
    y_TBCHW = answer(module, x_TBCHW)
    layouts = {"with time and batch": (0, 1), "with channels and width": (2, 4), "with height and width": (3, 4)}
    for which, (one, two) in layouts.items():
        strided = x_TBCHW.transpose(one, two).contiguous().transpose(one, two)
        ensure(close(answer(module, strided), y_TBCHW), f"an input {which} swapped in memory gives another output")


def gradients_reach(modules: Sequence[nn.Module], x_TBCHW: Tensor, seed: int) -> None:
    """A finite gradient comes to every time step of the input and, in one of these modules, to every parameter."""
    # Both signs, so that no hidden rectifier is shut for the whole batch; and silence, where roots have no slope.
    samples = torch.cat((x_TBCHW, -x_TBCHW, torch.zeros_like(x_TBCHW[:, :1])), dim=1)
    seen = dict.fromkeys([name for name, weight in modules[0].named_parameters() if weight.requires_grad], False)
    steps = torch.zeros(len(samples), dtype=torch.bool)
    for module in modules:
        own = copy.deepcopy(module)
        x = samples.clone().requires_grad_()
        y = own(x.clone())
        ensure(y.requires_grad, "the output hangs on nothing that can be learned")
        loss = (y * torch.randn(y.shape, generator=generator(seed, "loss"), dtype=torch.float64)).sum()
        weights = [weight for weight in own.parameters() if weight.requires_grad]
        grads = torch.autograd.grad(loss, [x, *weights], allow_unused=True)
        for name, grad in zip(["the input", *seen], grads, strict=True):
            ensure(grad is None or bool(grad.isfinite().all()), f"the gradient of {name} is not finite")
        steps |= torch.zeros_like(steps) if grads[0] is None else grads[0].flatten(1).any(dim=1)
        seen = {name: was or (g is not None and bool(g.any())) for (name, was), g in zip(seen.items(), grads[1:], strict=True)}
    ensure(steps.all(), f"no gradient reaches the input at step {(~steps).nonzero().flatten().tolist()}")
    ensure(all(seen.values()), f"no gradient reaches {', '.join(name for name, was in seen.items() if not was)}")


def stays_on_meta(module: nn.Module, x_TBCHW: Tensor) -> None:
    """A module built on the meta device takes one sample there, in evaluation mode, and answers there."""
    with torch.no_grad():
        y = module.eval()(x_TBCHW[:, :1].to("meta"))
    ensure(y.device.type == "meta", f"the input is on the meta device, the output on {y.device}")
