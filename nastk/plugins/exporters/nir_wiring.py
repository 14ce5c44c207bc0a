"""Nodes and edges of a NIR graph while it is built, and the pictures that they carry.

NIR adds what arrives at a node, and knows no concatenation. So a picture is kept in parts side by side, each the sum of some
nodes' outputs, and who reads it is wired to all of them. Every convolution is dense: ``nir`` itself takes ``weight.shape[1]`` for
the input's channels, and other readers refuse groups or get them wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define, evolve, frozen
from numpy.typing import NDArray

from nastk.core.errors import OutputError

Array = NDArray[Any]
INPUT, OUTPUT = "n0000_input", "output"


@frozen
class Part:
    """Neighbouring channels of a picture: the sum of what these nodes give, zeros without any."""

    channels: int
    sources: tuple[str, ...]
    spikes: bool = False
    """Whether there are only zeros and ones in it."""


@frozen
class Picture:
    """What a value of the network is at each time step: ``(C, H, W)``, in parts along C."""

    parts: tuple[Part, ...]
    height: int
    width: int
    averaged: bool = False
    """Whether its mean over H and W is still to be taken, by the layer behind it."""

    @property
    def channels(self) -> int:
        return sum(part.channels for part in self.parts)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(source for part in self.parts for source in part.sources)


@define
class Planned:
    """A node: the name and the fields of its class in ``nir``, and the nodes that it reads."""

    kind: str
    fields: dict[str, Any]
    sources: tuple[str, ...]


class Wiring:
    """A graph that grows. Nodes are numbered, so that the order of their names is one in which they can be run."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.nodes = {INPUT: Planned("Input", {"input_type": np.array(shape)}, ())}
        self.shared: set[str] = set()
        """Nodes that several values of the network read: they stay as they are."""

    def add(self, label: str, kind: str, sources: Sequence[str], **fields: Any) -> str:
        """A new node, named for its place in the network."""
        name = f"n{len(self.nodes):04d}_{re.sub(r'[^0-9A-Za-z_]', '_', label)}"
        self.nodes[name] = Planned(kind, fields, tuple(sources))
        return name

    def convolution(
        self, label: str, sources: Sequence[str], weight: Array, bias: Array | None, size: tuple[int, int], **form: Any
    ) -> str:
        """A convolution ``(K, C, k, k)`` of a picture of this height and width; ``form``: stride, padding, dilation."""
        plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
        bias = np.zeros(len(weight)) if bias is None else bias
        fields = {**plain, **form, "weight": weight.astype(np.float64), "bias": bias.astype(np.float64), "groups": 1}
        return self.add(label, "Conv2d", sources, input_shape=size, **fields)

    def convolved(self, label: str, x: Picture, weight: Array, bias: Array | None, out: tuple[int, int], **form: Any) -> Picture:
        """A convolution that reads all parts: one for each of them, which add up at whoever reads the result."""
        sources, start = [], 0
        for part in x.parts:
            own = weight[:, start : start + part.channels]
            start += part.channels
            if part.sources:
                sources.append(self.convolution(label, part.sources, own, bias, (x.height, x.width), **form))
                bias = None
        if not sources and bias is not None:
            sources = self.constant(label, bias, *out)
        return Picture((Part(len(weight), tuple(sources)),), *out)

    def each(self, label: str, x: Picture, kernel: Array, out: tuple[int, int], **form: Any) -> Picture:
        """The convolution of every channel with the same ``kernel`` ``(k, k)``."""
        parts = []
        for part in x.parts:
            weight = np.eye(part.channels)[:, :, None, None] * kernel
            made = (self.convolution(label, part.sources, weight, None, (x.height, x.width), **form),) if part.sources else ()
            parts.append(Part(part.channels, made))
        return Picture(tuple(parts), *out)

    def affine(self, label: str, x: Picture, scale_C: Array, shift_C: Array) -> Picture:
        """``scale x + shift``, channel by channel: within the convolutions that end here, and by one of 1x1 for the rest."""
        parts, start = [], 0
        for part in x.parts:
            rows = slice(start, start + part.channels)
            start += part.channels
            parts.append(evolve(part, sources=self._scaled(label, part, scale_C[rows], shift_C[rows], x), spikes=False))
        return evolve(x, parts=tuple(parts))

    def _scaled(self, label: str, part: Part, scale: Array, shift: Array, x: Picture) -> tuple[str, ...]:
        if not part.sources:
            return tuple(self.constant(label, shift, x.height, x.width))
        rest: Array | None = shift
        kept = [name for name in part.sources if name not in self.shared and self.nodes[name].kind == "Conv2d"]
        for name in kept:
            fields = self.nodes[name].fields
            fields["weight"] = fields["weight"] * scale[:, None, None, None]
            fields["bias"] = fields["bias"] * scale + (0.0 if rest is None else rest)
            rest = None
        others = [name for name in part.sources if name not in kept]
        if others:
            kept.append(self.convolution(label, others, np.diag(scale)[:, :, None, None], rest, (x.height, x.width)))
        return tuple(kept)

    def constant(self, label: str, value_C: Array, height: int, width: int) -> list[str]:
        """A picture that is the same everywhere and at every step: a convolution of the input that does not look at it."""
        if not value_C.any():
            return []
        C, H, W = self.shape
        steps = -(-H // height), -(-W // width)
        if (-(-H // steps[0]), -(-W // steps[1])) != (height, width):
            raise OutputError(f"The network has no NIR form: a constant of {height} x {width} at {label}, from {H} x {W} inputs.")
        return [self.convolution(label, [INPUT], np.zeros((len(value_C), C, 1, 1)), value_C, (H, W), stride=steps)]

    def copied(self, label: str, sources: Sequence[str], channels: int, size: tuple[int, int]) -> str:
        """One node for the sum of some."""
        return self.convolution(label, sources, np.eye(channels)[:, :, None, None], None, size)

    def whole(self, label: str, x: Picture) -> Picture:
        """The same picture in one part."""
        if len(x.parts) == 1:
            return x
        sources, start = [], 0
        for part in x.parts:
            if part.sources:
                weight = np.eye(x.channels)[:, start : start + part.channels, None, None]
                sources.append(self.convolution(label, part.sources, weight, None, (x.height, x.width)))
            start += part.channels
        spikes = all(part.spikes or not part.sources for part in x.parts)
        return evolve(x, parts=(Part(x.channels, tuple(sources), spikes),))

    def added(self, label: str, x: Picture, y: Picture) -> Picture:
        """``x + y``. A node counts once for each edge, so what is in both is copied."""
        if [part.channels for part in x.parts] != [part.channels for part in y.parts]:
            x, y = self.whole(label, x), self.whole(label, y)
        parts = []
        for left, right in zip(x.parts, y.parts, strict=True):
            both = [name for name in right.sources if name in left.sources]
            self.shared.update(both)
            again = [self.copied(label, both, left.channels, (x.height, x.width))] if both else []
            sources = (*left.sources, *(name for name in right.sources if name not in both), *again)
            spikes = (left.spikes and not right.sources) or (right.spikes and not left.sources)
            parts.append(Part(left.channels, sources, spikes))
        return evolve(x, parts=tuple(parts))

    def finished(self, x: Picture) -> dict[str, Planned]:
        """The nodes that lead from the input to this picture, ending in one output that a single node feeds."""
        x = self.whole("logits", x)
        sources, channels = x.parts[0].sources, x.channels
        if not sources:
            sources = (self.convolution("logits", [INPUT], np.zeros((channels, *self.shape)), None, self.shape[1:]),)
        if len(sources) > 1:  # some readers add up what arrives everywhere but here
            sources = (self.copied("logits", sources, channels, (x.height, x.width)),)
        shape = np.array((channels, x.height, x.width))
        last = self.add(OUTPUT, "Output", sources, output_type=shape)
        alive, found = {last, INPUT}, [last]
        while found:
            for name in self.nodes[found.pop()].sources:
                if name not in alive:
                    alive.add(name)
                    found.append(name)
        return {name: node for name, node in self.nodes.items() if name in alive}
