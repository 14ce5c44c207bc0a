"""A cell as a torch module: one module for each candidate of each edge, one neuron a node, run by the fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from nastk.core.cell.attended import SEARCHED, attention_parts
from nastk.core.cell.graph import NONE, Algebra, Cell, Edge, Genotype, fold
from nastk.core.cell.layout import Feed, LayerPlan
from nastk.core.cell.relax import Mixed, rows
from nastk.core.config import AttentionPart, NeuronPart, OperationPart
from nastk.core.errors import ConfigError, SchemaError
from nastk.core.model.batch_norm import PLAIN as BN
from nastk.core.model.compute import PLAIN, Compute, recomputed
from nastk.core.model.distributed import drawn, dropout
from nastk.core.model.operation import Operation, Site, fire, over_time
from nastk.core.model.reduce import FactorizedReduce
from nastk.core.model.relaxation import EXACT, RelaxationConfig
from nastk.core.model.schedule import Schedule
from nastk.core.types import Face, Shape


@frozen
class Material:
    """What a whole network is built from, read from its genotype; what comes after ``norm`` belongs to the build."""

    neuron: NeuronPart
    attentions: tuple[AttentionPart, ...]
    """The one of the run, or all that the edges choose from."""
    location: str
    membrane: str
    norm: str
    affine: bool
    relaxation: RelaxationConfig = EXACT
    compute: Compute = PLAIN
    batch_norm: str = BN
    input_attention: AttentionPart = field(factory=lambda: AttentionPart.named(NONE))

    @staticmethod
    def of(genotype: Genotype, affine: bool, relaxation: RelaxationConfig = EXACT, compute: Compute = PLAIN) -> Material:
        """The material named by a genotype's parts."""

        def part(cls: Any, name: str, usual: str | None = None) -> Any:
            return cls.from_flat(str(genotype.part(name, usual)), genotype.section(name))

        return Material(
            part(NeuronPart, "neuron"),
            attention_parts(genotype),
            str(genotype.part("attention_location")),
            str(genotype.part("membrane")),
            str(genotype.part("norm")),
            affine,
            relaxation,
            compute,
            str(genotype.part("batch_norm", BN)),
            part(AttentionPart, "input_attention", NONE),
        )

    def site(self, shape: Shape, stride: int = 1) -> Site:
        """A place in the network."""
        return Site(shape, stride, self.affine, self.neuron, self.attentions[0], self.batch_norm)

    def edge_attentions(self, edge: Edge) -> dict[str, AttentionPart]:
        """What stands behind an edge: nothing, the run's attention, or the edge's own. Raises :class:`SchemaError`."""
        if edge.op == NONE or self.location not in ("after_every", "both", SEARCHED):
            return {}
        if self.location != SEARCHED:
            return {self.attentions[0].name: self.attentions[0]}
        known = {part.name: part for part in self.attentions}
        if strangers := sorted(set(edge.attentions) - known.keys()):
            where = f"The edge {edge.src}->{edge.dst} has the attention {', '.join(strangers)}"
            raise SchemaError(f"{where}, which is not among those that its genotype names: {', '.join(known)}.")
        return {name: known[name] for name in edge.attentions}


class Faces:
    """The two faces of a node: the sum of its arrivals, and its neuron's answer, computed when it is first read.

    Where nodes fire at once (or not at all) both faces are one tensor, and there is no ``neuron``.
    """

    def __init__(self, value: Tensor, neuron: nn.Module | None = None) -> None:
        self.value, self._neuron = value, neuron
        self._activation: Tensor | None = None

    def narrowed(self, channels: int) -> Faces:
        """The first channels of both faces."""
        return self if channels == self.value.shape[2] else _Narrowed(self, channels)

    def face(self, which: Face) -> Tensor:
        """The tensor that an operation reads."""
        if which is Face.VALUE or self._neuron is None:
            return self.value
        if self._activation is None:
            self._activation = fire(self._neuron, self.value)
        return self._activation


class _Narrowed(Faces):
    """The first channels of a node's faces; its neuron still sees all of them."""

    def __init__(self, whole: Faces, channels: int) -> None:
        super().__init__(whole.value[:, :, :channels])
        self._whole, self._channels = whole, channels

    def face(self, which: Face) -> Tensor:
        return self._whole.face(which)[:, :, : self._channels]


class Preprocess(nn.Module):
    """Brings an input of a cell to its width and scale: 1x1 convolution and norm, the neuron before or behind it."""

    def __init__(self, feed: Feed, site: Site, membrane: str) -> None:
        super().__init__()
        self.neuron = site.make_neuron()
        self.first = membrane == "pre"
        c_in, c_out = feed.channels, site.shape.C
        self.project: nn.Module
        if feed.stride == 1:
            self.project = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), site.make_norm())
        else:
            self.project = FactorizedReduce(c_in, c_out, site.make_norm())

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        if self.first:
            return over_time(self.project, fire(self.neuron, x_TBCHW))
        return fire(self.neuron, over_time(self.project, x_TBCHW))


class EdgeModule(nn.Module):
    """The candidates of one edge, and the attention through which their mixture goes, or several to choose from."""

    def __init__(self, edge: Edge, site: Site, material: Material) -> None:
        super().__init__()
        names = [op for op in edge.candidates if op != NONE or edge.op == NONE]  # in a mixture, none is not computed
        self.ops = nn.ModuleDict({op: OperationPart.named(op).build(site) for op in names})
        self.fires = nn.ModuleDict()
        if material.membrane == "op":
            self.fires.update({op: site.make_neuron() for op in names if self.operation(op).reads is Face.ACTIVATION})
        parts = material.edge_attentions(edge)
        self.attentions = nn.ModuleDict({name: part.build(site.out) for name, part in parts.items()})
        self.chooses = material.location == SEARCHED

    def attend(self, edge: Edge, x_TBCHW: Tensor) -> Tensor:
        """Through the attention of an edge, which is the edge's own where edges choose."""
        for name, module in self.attentions.items():
            if not self.chooses or name == edge.attention:
                x_TBCHW = module(x_TBCHW)
        return x_TBCHW

    def operation(self, op: str) -> Operation:
        """The module of one candidate."""
        return cast(Operation, self.ops[op])

    def operate(self, op: str, faces: Faces) -> Tensor:
        """One candidate's contribution."""
        module = self.operation(op)
        out: Tensor = module(faces.face(module.reads))
        return fire(self.fires[op], out) if op in self.fires else out


def edge_site(edge: Edge, inputs: int, planned: LayerPlan, material: Material) -> Site:
    """Where an edge of a layer stands: in a reduction, the edges that leave an input halve the size."""
    outer = material.site(planned.shape, planned.stride)
    return outer if edge.src < inputs else material.site(outer.out)


class CellModule(nn.Module):
    """One layer of a network. ``forward`` folds its cell; with ``mixing_EO`` every edge is a mixture.

    ``drop_path`` and ``skip_dropout`` are probabilities that act in training mode and are set by the training loop.
    ``scheduled``: in training, mixtures are computed by a :class:`Schedule`, which gives what the fold gives.
    """

    def __init__(self, cell: Cell, planned: LayerPlan, material: Material) -> None:
        super().__init__()
        self.cell, self.membrane = cell, material.membrane
        self.drop_path, self.skip_dropout = 0.0, 0.0
        self.scheduled, self.relaxation, self.compute = True, material.relaxation, material.compute
        self._schedule: Schedule | None = None
        inner = material.site(planned.shape, planned.stride).out
        self.inner_shape = inner
        self.mixed_channels, left = divmod(inner.C, material.relaxation.partial)
        if left:
            fault = f"relaxation.partial: {material.relaxation.partial} does not divide the {inner.C} channels of a cell"
            raise ConfigError([fault], "strategy")
        self.feeds = nn.ModuleList([Preprocess(feed, material.site(planned.shape), material.membrane) for feed in planned.feeds])
        self.edges = nn.ModuleDict()
        for edge in cell.edges:
            site = edge_site(edge, cell.inputs, planned, material)
            narrow = evolve(site, shape=site.shape._replace(C=self.mixed_channels))
            self.edges[f"{edge.src}_{edge.dst}"] = EdgeModule(edge, narrow, material)
        firing = {"node": cell.inner, "pre": range(cell.nodes), "op": range(0)}[material.membrane]
        self.nodes = nn.ModuleDict({str(node): material.site(inner).make_neuron() for node in firing})
        normed = cell.inner if material.norm == "node" else range(0)
        self.norms = nn.ModuleDict({str(node): material.site(inner).make_norm() for node in normed})
        self.attention: nn.Module | None = None
        if material.location in ("end", "both"):
            self.attention = material.site(inner).make_attention(inner._replace(C=inner.C * len(cell.outputs)))

    def edge(self, edge: Edge) -> EdgeModule:
        """The modules of an edge."""
        return cast(EdgeModule, self.edges[f"{edge.src}_{edge.dst}"])

    def faces(self, node: int, total: Tensor) -> Faces:
        """Both faces of a node from the sum of its arrivals; the sum is normalised first where the space says so."""
        if str(node) in self.norms:
            total = over_time(self.norms[str(node)], total)
        if self.membrane == "pre":
            return Faces(total, self.nodes[str(node)])
        return Faces(fire(self.nodes[str(node)], total) if self.membrane == "node" else total)

    def operate(self, edge: Edge, op: str, faces: Faces) -> Tensor:
        """One candidate's contribution on an edge, with the guards of the training loop."""
        holder = self.edge(edge)
        out = holder.operate(op, faces)
        if self.training and self.drop_path > 0 and not holder.operation(op).identity:
            out = _drop_path(out, self.drop_path)
        if self.training and self.skip_dropout > 0 and op == "skip_connect":
            out = dropout(out, self.skip_dropout)
        return out

    def forward(self, inputs: Sequence[Tensor], *mixing: Tensor | None) -> Tensor:
        """``inputs`` are the outputs of earlier layers, ``(T, B, C, H, W)``; gives ``(T, B, outputs * C, H', W')``.

        ``mixing`` is what :func:`mixing_of` gives: the weights of operations, of whole edges and of attentions.
        """
        return self._kept(self._from_inputs, inputs, *mixing)

    def run(self, ready: Sequence[Tensor], *mixing: Tensor | None) -> Tensor:
        """:meth:`forward` behind the preprocessing: inputs of the cell's own width and scale."""
        return self._kept(self._from_ready, ready, *mixing)

    def _kept(self, function: Callable[..., Tensor], *args: Any) -> Tensor:
        """With or without its inner activations, as :class:`Compute` says."""
        wanted = self.compute.recompute and self.training and torch.is_grad_enabled()
        return recomputed(self, function, *args) if wanted else function(*args)

    def _from_inputs(self, inputs: Sequence[Tensor], *mixing: Tensor | None) -> Tensor:
        return self._from_ready([feed(x) for feed, x in zip(self.feeds, inputs, strict=True)], *mixing)

    def _from_ready(
        self,
        ready: Sequence[Tensor],
        mixing_EO: Tensor | None = None,
        edges_E: Tensor | None = None,
        attention_EA: Tensor | None = None,
    ) -> Tensor:
        start = [self.faces(i, x) if self.membrane == "pre" else Faces(x) for i, x in enumerate(ready)]
        tensors = _Tensors(self, ready[0])
        if mixing_EO is None:
            out = fold(self.cell, tensors, start).value
        elif self.relaxation.name != "exact" or (self.training and self.scheduled):
            self._schedule = self._schedule or Schedule(self)
            out = self._schedule.run(start, tensors, mixing_EO, edges_E, attention_EA)
        else:
            out = fold(self.cell, Mixed(tensors, *(rows(self.cell, w) for w in (mixing_EO, attention_EA))), start).value
        return out if self.attention is None else self.attention(out)


class _Tensors(Algebra[Faces]):
    """The tensor algebra of one call. A contribution is carried in the VALUE face."""

    def __init__(self, module: CellModule, like: Tensor) -> None:
        self.module, self.like = module, like

    def apply(self, edge: Edge, value: Faces) -> Faces:
        first, *rest = edge.candidates  # several are summed: see SummedEdges
        total = self.module.operate(edge, first, value)
        for op in rest:
            total = total + self.module.operate(edge, op, value)
        return Faces(total)

    def mix(self, edge: Edge, weighted: Sequence[tuple[Any, Faces]]) -> Faces:
        del edge
        (weight, first), *rest = weighted
        total = weight * first.value
        for weight, contribution in rest:
            total = total + weight * contribution.value
        return Faces(total)

    def arrive(self, edge: Edge, value: Faces) -> Faces:
        holder = self.module.edge(edge)
        return Faces(holder.attend(edge, value.value)) if holder.attentions else value

    def join(self, node: int, arrivals: Sequence[Faces]) -> Faces:
        if not arrivals:
            shape = self.module.inner_shape
            return self.module.faces(node, self.like.new_zeros(*self.like.shape[:2], shape.C, shape.H, shape.W))
        total = arrivals[0].value
        for arrival in arrivals[1:]:
            total = total + arrival.value
        return self.module.faces(node, total)

    def output(self, values: Sequence[Faces]) -> Faces:
        # Joined as pictures: of five axes, cat would not keep the channels last.
        out_NCHW = torch.cat([faces.value.flatten(0, 1) for faces in values], dim=1)
        return Faces(torch.unflatten(out_NCHW, 0, values[0].value.shape[:2]))


def _drop_path(x_TBCHW: Tensor, probability: float) -> Tensor:
    """Drop a sample's whole contribution with this probability, and scale what stays (Larsson et al. 2017)."""
    keep_TBCHW = drawn(x_TBCHW[:1, :, :1, :1, :1], 1.0 - probability)
    return x_TBCHW * keep_TBCHW / (1.0 - probability)
