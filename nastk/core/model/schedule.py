"""A cell's mixtures in a better order: what candidates share is done once, what can be done together in one call.

The schedule owns nothing: it runs the modules and parameters of a :class:`~nastk.core.model.cellnet.CellModule`, node by
node, and gives what the fold gives (law 9), with less time and memory:

- the convolutions of all edges that leave a node and have one form are one convolution; depthwise and pointwise
  ones are collapsed to a dense one first;
- a pooling and its statistics are computed once a node, not once an edge;
- norm, mixing weight and sum are one function with a backward pass of its own (:mod:`nastk.core.model.norm_mix`).

Operations without a recipe are run as they are. A :class:`~nastk.core.model.relaxation.RelaxationConfig` other than the
exact one makes it another algorithm: drawn paths, partial channels, merged kernels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor, nn

from nastk.core.cell.graph import NONE, Edge
from nastk.core.cell.relax import Mixable, attended
from nastk.core.model.merged import Scaled, merged_kernel, support_of
from nastk.core.model.norm_mix import norm_mix
from nastk.core.model.norm_mix_kernels import Term, moments
from nastk.core.model.operation import Convolved, Pooled
from nastk.core.model.partial import passed_by
from nastk.core.model.winograd import convolve
from nastk.core.types import Face

if TYPE_CHECKING:
    from nastk.core.model.cellnet import CellModule, Faces

    Through = Callable[[int, Faces], Faces]


@frozen
class Candidate:
    """One candidate of one edge, by the numbers of both: where its weight stands."""

    edge: int
    option: int
    op: str


@frozen
class Together:
    """Candidates whose values are the blocks of one tensor: convolutions of one form, or (``shared``) one block for all."""

    face: Face
    members: tuple[Candidate, ...]
    recipes: tuple[Convolved | Pooled, ...]

    def value(self, x_NCHW: Tensor) -> Tensor:
        """``(N, blocks * C, H, W)`` before the norms."""
        first = self.recipes[0]
        return first.pool(x_NCHW) if isinstance(first, Pooled) else self.convolved(x_NCHW, self.kernel())

    def convolved(self, x_NCHW: Tensor, kernel: Tensor) -> Tensor:
        """:meth:`value` by the kernel that :meth:`kernel` gave."""
        form = self.forms[0]
        return convolve(x_NCHW, kernel, None, form.stride, form.padding, form.dilation)  # type: ignore[arg-type]

    def kernel(self) -> Tensor:
        """The dense kernels ``(blocks * C, C, k, k)`` of all convolutions."""
        return torch.cat([_dense(recipe.convolutions) for recipe in self.recipes if isinstance(recipe, Convolved)])

    @property
    def forms(self) -> list[nn.Conv2d]:
        """The convolutions that the members have the form of, all alike in size, stride and dilation."""
        return [recipe.convolutions[0] for recipe in self.recipes if isinstance(recipe, Convolved)]

    def only(self, there: Callable[[Candidate], bool]) -> Together | None:
        """Those of the members that are there."""
        kept = [pair for pair in zip(self.members, self.recipes, strict=True) if there(pair[0])]
        return Together(self.face, *map(tuple, zip(*kept, strict=True))) if kept else None

    @property
    def support(self) -> int:
        """How many pixels wide these convolutions look."""
        return support_of(self.forms[0])

    @property
    def taps(self) -> int:
        """Pixels that all of these convolutions read for one of the output."""
        return sum(form.kernel_size[0] * form.kernel_size[1] for form in self.forms)

    @property
    def shared(self) -> bool:
        """Whether all members read one block."""
        return isinstance(self.recipes[0], Pooled)


@frozen
class Placed:
    """A candidate whose norm looks at one block of one tensor."""

    candidate: Candidate
    norm: nn.BatchNorm2d
    tensor: int
    block: int


def _dense(convolutions: Sequence[nn.Conv2d]) -> Tensor:
    """The kernel ``(C, C, k, k)`` of one convolution, or of a depthwise and a pointwise one; differentiable in each."""
    first, *rest = convolutions
    if not rest:
        return first.weight
    return rest[0].weight * first.weight[:, 0][None]


def _fits(recipe: Convolved | Pooled | None) -> bool:
    """Whether a recipe is of a form that is known here: a plain convolution or pooling and a norm without scale."""
    if recipe is None or type(recipe.norm) is not nn.BatchNorm2d:  # another class has statistics of another kind
        return False
    if recipe.norm.affine or not recipe.norm.track_running_stats:
        return False
    if isinstance(recipe, Pooled):
        return True
    first, *rest = recipe.convolutions
    if any(c.bias is not None or c.padding_mode != "zeros" for c in recipe.convolutions):
        return False
    if not rest:
        return first.groups == 1
    return len(rest) == 1 and first.groups == first.in_channels == first.out_channels and rest[0].kernel_size == (1, 1)


class Schedule:
    """The order in which one cell's mixtures are computed; made once from its modules."""

    def __init__(self, cell: CellModule) -> None:
        self.cell, self.relaxation = cell, cell.relaxation
        self._places: dict[tuple[int, ...], Tensor] = {}
        self.together: dict[int, list[Together]] = defaultdict(list)
        self.same: dict[int, list[Candidate]] = defaultdict(list)
        self.alone: dict[int, list[Candidate]] = defaultdict(list)
        groups: dict[tuple[int, object], list[tuple[Candidate, Convolved | Pooled, Face]]] = defaultdict(list)
        eps: float | None = None
        for number, edge in enumerate(cell.cell.edges):
            holder = cell.edge(edge)
            for option, op in enumerate(edge.candidates):
                if op == NONE:
                    continue
                operation, candidate = holder.operation(op), Candidate(number, option, op)
                recipe = None if op in holder.fires else operation.recipe
                if operation.identity:
                    self.same[edge.src].append(candidate)
                elif recipe is None or not _fits(recipe) or recipe.norm.eps != (eps := eps or recipe.norm.eps):
                    self.alone[edge.src].append(candidate)
                else:
                    groups[edge.src, _form(recipe, operation.reads)].append((candidate, recipe, operation.reads))
        self.eps = eps or 0.0
        for (source, _), found in groups.items():
            candidates, recipes, faces = zip(*found, strict=True)
            self.together[source].append(Together(faces[0], candidates, recipes))

    def run(
        self, start: Sequence[Faces], algebra: Mixable[Faces], mixing_EO: Tensor, edges_E: Tensor | None, choice_EA: Tensor | None
    ) -> Tensor:
        """The cell's output, ``(T, B, outputs * C, H, W)``; with the exact relaxation it is the fold's.

        ``algebra`` is the one of the fold: attention, sums and neurons are its own. ``edges_E`` weighs whole edges,
        ``choice_EA`` the attentions of each, where the edges choose.
        """

        def through(i: int, value: Faces) -> Faces:
            return attended(algebra, self.cell.cell.edges[i], None if choice_EA is None else choice_EA[i], value)

        nodes = list(start)
        arrived: dict[int, list[Tensor]] = defaultdict(list)
        chosen = self._chosen(mixing_EO)
        for node in range(self.cell.cell.nodes):
            if node >= len(start):
                arrivals = [
                    self._arriving(i, edge, arrived[i], nodes, edges_E, through)
                    for i, edge in enumerate(self.cell.cell.edges)
                    if edge.dst == node and (i in arrived or self.relaxation.partial > 1)
                ]
                nodes.append(algebra.join(node, arrivals))
            for i, part in self._leaving(node, nodes[node].narrowed(self.cell.mixed_channels), mixing_EO, chosen):
                arrived[i].append(part)
        return algebra.output([nodes[node] for node in self.cell.cell.outputs]).value

    def _chosen(self, mixing_EO: Tensor) -> list[list[bool]] | None:
        """Which candidates have a weight, where paths are drawn; the others are not computed."""
        return (mixing_EO != 0).tolist() if self.relaxation.paths else None

    def _arriving(
        self, i: int, edge: Edge, parts: list[Tensor], nodes: Sequence[Faces], edges_E: Tensor | None, through: Through
    ) -> Faces:
        """What arrives on an edge: the sum of its candidates through its attention, and the channels that passed by."""
        make = type(nodes[0])
        value = through(i, make(_sum(parts))).value if parts else None
        if self.relaxation.partial > 1:
            value = passed_by(value, nodes[edge.src].face(Face.VALUE), self.cell.inner_shape, self.relaxation.partial)
        assert value is not None
        return make(value if edges_E is None else edges_E[i] * value)

    def _leaving(
        self, source: int, faces: Faces, mixing_EO: Tensor, chosen: list[list[bool]] | None
    ) -> Iterator[tuple[int, Tensor]]:
        """All that leaves a node, by the number of the edge it leaves on."""

        def there(c: Candidate) -> bool:
            return chosen is None or chosen[c.edge][c.option]

        together, same, alone = self.together[source], self.same[source], self.alone[source]
        if not self.cell.training or self.cell.drop_path:  # norms at running statistics, or parts dropped: each by itself
            same, together, alone = [], [], [*alone, *same, *(c for group in together for c in group.members)]
        elif self.cell.skip_dropout:
            same, alone = [], [*alone, *same]
        for c in filter(there, alone):
            value = self.cell.operate(self.cell.cell.edges[c.edge], c.op, faces)
            yield c.edge, mixing_EO[c.edge, c.option] * value
        groups = [left for group in together if (left := group.only(there))]
        same = list(filter(there, same))
        merged: list[tuple[Tensor, list[int]]] = []
        if self.relaxation.merged:
            into = mergeable([group for group in groups if not group.shared])
            merged = list(self._merged(into, faces, mixing_EO))
            groups = [group for group in groups if group not in into]
        if groups or merged:
            yield from self._mixed(groups, same, merged, faces, mixing_EO)
        else:
            for c in same:
                yield c.edge, mixing_EO[c.edge, c.option] * faces.face(Face.VALUE)

    def _mixed(
        self,
        groups: Sequence[Together],
        same: Sequence[Candidate],
        merged: Sequence[tuple[Tensor, list[int]]],
        faces: Faces,
        mixing_EO: Tensor,
    ) -> Iterator[tuple[int, Tensor]]:
        """Candidates with a norm, the value as it is, and what is mixed already, weighted and summed edge by edge."""
        inputs = [group.value(faces.face(group.face).flatten(0, 1)) for group in groups]
        placed = [
            Placed(candidate, recipe.norm, i, 0 if group.shared else block)
            for i, group in enumerate(groups)
            for block, (candidate, recipe) in enumerate(zip(group.members, group.recipes, strict=True))
        ]
        members = [*(p.candidate for p in placed), *same]
        edges = sorted({c.edge for c in members} | {edge for _, found in merged for edge in found})
        terms = [Term(p.tensor, p.block, edges.index(p.candidate.edge), True) for p in placed]
        if same:
            terms += [Term(len(inputs), 0, edges.index(c.edge), False) for c in same]
            inputs.append(faces.face(Face.VALUE).flatten(0, 1))
        weights_M = self._weights(members, mixing_EO)
        for z_NKHW, found in merged:
            terms += [Term(len(inputs), block, edges.index(edge), False) for block, edge in enumerate(found)]
            inputs.append(z_NKHW)
            weights_M = torch.cat([weights_M, weights_M.new_ones(len(found))])
        out, means, variances = norm_mix(terms, len(edges), self.cell.mixed_channels, self.eps, weights_M, inputs)
        if placed:
            _track(placed, self.cell.mixed_channels, means, variances, inputs[0])
        for edge, z_NCHW in zip(edges, out, strict=True):
            yield edge, torch.unflatten(z_NCHW, 0, faces.value.shape[:2])

    def _weights(self, members: Sequence[Candidate], mixing_EO: Tensor) -> Tensor:
        """The weights ``(M,)`` of candidates. Their places stay on the device: a graph that is recorded may not copy them."""
        key = tuple(member.edge * mixing_EO.shape[1] + member.option for member in members)
        places = self._places.get(key)
        if places is None or places.device != mixing_EO.device:
            places = self._places[key] = torch.tensor(key, device=mixing_EO.device)
        return mixing_EO.flatten().index_select(0, places)

    def _merged(self, groups: Sequence[Together], faces: Faces, mixing_EO: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
        """The convolutions of each edge as one kernel, all edges in one convolution (for each face that is read).

        Gives ``(N, edges * C, H, W)`` and the numbers of the edges.
        """
        for face in {group.face: None for group in groups}:
            x_TBCHW = faces.face(face)
            here = [group for group in groups if group.face is face]
            edges = sorted({member.edge for group in here for member in group.members})
            scaled = []
            for group in here:
                weight = group.kernel()
                with torch.no_grad():
                    y_NCHW = group.convolved(x_TBCHW[:, :: self.relaxation.merged].flatten(0, 1), weight)
                    mean_K, variance_K = moments(y_NCHW.to(mixing_EO.dtype))
                placed = [Placed(c, r.norm, 0, b) for b, (c, r) in enumerate(zip(group.members, group.recipes, strict=True))]
                _track(placed, self.cell.mixed_channels, [mean_K], [variance_K], y_NCHW)
                weights_M = self._weights(group.members, mixing_EO)
                slots = tuple(edges.index(c.edge) for c in group.members)
                scaled.append(Scaled(weight, group.forms[0], mean_K, variance_K, slots, weights_M))
            support = max(group.support for group in here)
            kernel, bias = merged_kernel(scaled, len(edges), self.eps, support)
            stride = here[0].forms[0].stride
            yield convolve(x_TBCHW.flatten(0, 1), kernel, bias, stride, (support // 2,) * 2), edges  # type: ignore[arg-type]


def mergeable(groups: Sequence[Together]) -> list[Together]:
    """The convolutions that are fewer products as one kernel an edge than one by one, of each face that is read.

    A merged kernel is as wide as the widest of them, so the widest are left out until it pays: next to 3x3 and 5x5
    a dilated 5x5 would make it 9 wide. What is left out is computed exactly.
    """
    found: list[Together] = []
    for face in {group.face: None for group in groups}:
        left = sorted((group for group in groups if group.face is face), key=lambda group: group.support)
        while left:
            edges = {member.edge for group in left for member in group.members}
            if len(edges) * left[-1].support ** 2 < sum(group.taps for group in left):
                break
            left.pop()
        found += left
    return found


def _form(recipe: Convolved | Pooled, reads: Face) -> object:
    """What has to be equal for two candidates to be computed together."""
    if isinstance(recipe, Pooled):
        return reads, recipe.key, recipe.norm.eps
    one = recipe.convolutions[0]
    return reads, one.kernel_size, one.stride, one.padding, one.dilation, recipe.norm.eps


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


@torch.no_grad()
def _track(
    placed: Sequence[Placed], channels: int, means: Sequence[Tensor], variances: Sequence[Tensor], like_NCHW: Tensor
) -> None:
    """Move the running statistics of the norms as their own forward pass would."""
    numbers = like_NCHW.shape[0] * like_NCHW.shape[2] * like_NCHW.shape[3]
    old, new = [], []
    for p in placed:
        here = slice(p.block * channels, (p.block + 1) * channels)
        assert p.norm.running_mean is not None
        assert p.norm.running_var is not None
        old += [p.norm.running_mean, p.norm.running_var]
        new += [means[p.tensor][here], variances[p.tensor][here] * (numbers / max(numbers - 1, 1))]
    counts = [p.norm.num_batches_tracked for p in placed]
    torch._foreach_add_(counts, 1)  # type: ignore[arg-type]
    momentum = placed[0].norm.momentum
    share = 1 / float(counts[0]) if momentum is None else momentum  # type: ignore[arg-type]
    torch._foreach_lerp_(old, [n.to(o.dtype) for o, n in zip(old, new, strict=True)], share)
