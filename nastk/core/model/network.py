"""The network of a genotype: encoder, cells, head. A full genotype gives the supernet, through the same class."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import SEARCHED, plan
from nastk.core.model.cellnet import CellModule, Material
from nastk.core.model.compute import PLAIN, Compute
from nastk.core.model.encoder import Encoder
from nastk.core.model.operation import over_time
from nastk.core.model.relaxation import EXACT, RelaxationConfig, mixing_of
from nastk.core.model.trellis import Logits, Mixing, Trellis
from nastk.core.types import Shape


class Auxiliary(nn.Module):
    """The auxiliary head of DARTS, on the output of the cell at two thirds of the depth; training only."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x_NCHW).flatten(1))
        return logits


class Chain(nn.Module):
    """Cells one behind the other along a fixed path, each fed by the two outputs before it; then the classifier."""

    def __init__(self, genotype: Genotype, shape: Shape, material: Material, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.plan = plan(genotype, shape)
        self.cells = nn.ModuleList([CellModule(genotype.cell(p.cell), p, material) for p in self.plan])
        widths = [p.shape.C * len(genotype.cell(p.cell).outputs) for p in self.plan]
        self.auxiliary_at = 2 * len(self.plan) // 3
        self.auxiliary = Auxiliary(widths[self.auxiliary_at], classes) if auxiliary else None
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x_TBCHW: Tensor, mixing: Mixing | None) -> Logits:
        outputs = [x_TBCHW, x_TBCHW]
        for planned, cell in zip(self.plan, self.cells, strict=True):
            outputs.append(cell(outputs[-len(planned.feeds) :], *mixing_of(mixing, planned.cell)))
        side = None
        if self.auxiliary is not None and self.training:
            side = over_time(self.auxiliary, outputs[2 + self.auxiliary_at])
        return Logits(self.classifier(outputs[-1].mean(dim=(-2, -1))), side)


class Network(nn.Module):
    """``(T, B, C, H, W)`` samples (``T = 1`` for static ones) to logits ``(T, B, K)``; their mean over T decides.

    ``sample`` is the shape of the data's samples, ``affine`` gives batch norms a scale and shift, ``auxiliary`` adds
    DARTS's auxiliary head. With the full genotype of a space this is the supernet, and ``mixing`` its weights: cell
    name to ``(E, O)``, ``"layers"`` to ``(L - 1, scales, 2)`` where the path is searched, ``"NAME.edges"`` to ``(E,)``
    where edges have weights of their own, and ``"NAME.attention"`` to ``(E, A)`` where they choose one. ``relaxation``
    says how its mixtures are computed, ``compute`` in which precision and with how much memory.
    """

    def __init__(
        self,
        genotype: Genotype,
        sample: Shape,
        classes: int,
        *,
        affine: bool = True,
        auxiliary: bool = False,
        relaxation: RelaxationConfig = EXACT,
        compute: Compute = PLAIN,
    ) -> None:
        super().__init__()
        self.genotype, self.compute = genotype, compute
        shape = sample._replace(T=int(genotype.part("time_steps")))
        material = Material.of(genotype, affine, relaxation, compute)
        channels = int(genotype.part("channels")) * int(genotype.part("stem"))
        coding = str(genotype.part("encoder", "direct"))
        self.encoder = Encoder(sample, shape.T, channels, material, coding)
        self.body: Chain | Trellis
        if SEARCHED in str(genotype.part("layers")):
            self.body = Trellis(genotype, shape, material, channels, classes)
        else:
            self.body = Chain(genotype, shape, material, classes, auxiliary)

    def forward(self, x_TBCHW: Tensor, mixing: Mixing | None = None) -> Tensor:
        """Logits ``(T, B, K)``."""
        return self.logits(x_TBCHW, mixing).main

    def logits(self, x_TBCHW: Tensor, mixing: Mixing | None = None) -> Logits:
        """Logits of the classifier, and of the auxiliary head where there is one and the network trains."""
        with self.compute.autocast(x_TBCHW.device) if self.training else nullcontext():
            found: Logits = self.body(self.encoder(x_TBCHW), mixing)
        main, side = found
        return Logits(main.to(x_TBCHW.dtype), None if side is None else side.to(x_TBCHW.dtype))

    @torch.no_grad()
    def inherit(self, supernet: Network) -> None:
        """Take over the weights that a supernet has for this network; what it has none of (norm scales) stays."""
        state = supernet.state_dict()
        if isinstance(supernet.body, Trellis):
            chain = supernet.body.chain_state(str(self.genotype.part("layers")))
            state = {f"body.{name}": v for name, v in chain.items()} | state
        mine = self.state_dict()
        self.load_state_dict({**mine, **{name: value for name, value in state.items() if name in mine}})

    def set_scheduled(self, scheduled: bool) -> None:
        """Whether mixtures are computed in a better order while the network trains (the default), or by the plain fold."""
        for cell in self.modules():
            if isinstance(cell, CellModule):
                cell.scheduled = scheduled

    def set_dropout(self, drop_path: float = 0.0, skip_dropout: float = 0.0) -> None:
        """Set the probabilities of every cell; they act in training mode only."""
        for cell in self.modules():
            if isinstance(cell, CellModule):
                cell.drop_path, cell.skip_dropout = drop_path, skip_dropout
