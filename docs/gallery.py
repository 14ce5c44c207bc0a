"""Writes ``neuron-gallery.md`` and its pictures, every neuron and surrogate, from the code: ``python docs/gallery.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from nastk.core.describe import Description, default_words, describe
from nastk.core.registry import registry
from nastk.core.types import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

FILE = Path(__file__).with_name("neuron-gallery.md")
PICTURES = Path(__file__).parent / "images" / "neurons"
HEAD = """# Gallery of neurons and surrogates

Written by `python docs/gallery.py` from the code, with its pictures; a test fails when the text is stale. What settings mean,
and which neurons are the same in other libraries, is on the page of [neurons](neurons.md); every setting with its bounds is in
the [reference](reference.md). Neurons of [other libraries](neurons.md#neurons-of-other-libraries) are not shown here.

Equations are those of one time step: input current `x[t]`, membrane `v`, `h[t]` before firing, output `z[t]`. Where no more is
said, `z[t] = h[t] >= v_th`, and a reset follows.
"""
NEURONS_HEAD = """## Neurons

Left of each picture: a step of input current (grey), the membrane after each time step (blue) and the spikes (ticks; orange
below the line where they are -1). Right: the mean output over 200 steps of constant current (`izhikevich`: 1000). Settings are
the defaults, unless said otherwise.
"""
SURROGATES_HEAD = """## Surrogates

`u = v - v_th`. Pictures show `g(u)` from -1.5 to 1.5; the dotted line is a height of 1.
"""


@frozen
class Scene:
    """How a neuron is shown: other settings than its defaults, a current and for how long."""

    settings: Mapping[str, Any] = {}
    current: float = 0.7
    back: bool = False
    """Whether the current changes its sign halfway."""
    steps: int = 30
    curve: tuple[float, float] = (0.0, 2.0)
    """The smallest and the largest current on the right."""
    long: int = 200
    """Time steps behind each point on the right."""


SCENES = {
    "aqif": Scene(steps=60),
    "alif": Scene(steps=60),
    "clif": Scene(current=0.4),
    "cuba-lif": Scene(current=0.12, curve=(0.0, 0.5)),
    "dhs": Scene(current=0.45),
    "gated-lif": Scene(current=0.45),
    "if": Scene(current=0.2),
    "izhikevich": Scene(current=0.12, steps=400, curve=(0.0, 0.6), long=1000),
    "masked-psn": Scene(settings={"init": "exponential"}, current=0.4),
    "psn": Scene(settings={"init": "exponential"}, current=0.3),
    "signed": Scene(back=True, curve=(-2.0, 2.0)),
    "sliding-psn": Scene(current=0.4),
    "synaptic": Scene(current=0.03, steps=60, curve=(0.0, 0.2)),
    "ternary": Scene(back=True, curve=(-2.0, 2.0)),
}


def main() -> None:
    """Write the page and the pictures."""
    FILE.write_text(page(), encoding="utf-8")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in names(Kind.NEURON):
        draw_neuron(name)
    for name in names(Kind.SURROGATE):
        draw_surrogate(name)


def page() -> str:
    """The content of ``neuron-gallery.md``."""
    return "\n".join([HEAD, NEURONS_HEAD, *_neurons(), SURROGATES_HEAD, *_surrogates()]).rstrip() + "\n"


def names(kind: Kind) -> list[str]:
    """The bundled plug-ins of a kind, without those of other libraries."""
    entries = [e for e in registry().entries(kind) if e.source.distribution == "nastk"]
    return [entry.name for entry in entries if ".bridges." not in entry.module]


def _neurons() -> Iterator[str]:
    found = [describe(Kind.NEURON, name) for name in names(Kind.NEURON)]
    yield "| neuron | what it is |"
    yield "| --- | --- |"
    yield from (f"| [`{d.name}`](#{d.name}) | {_plain(d.summary)} |" for d in found)
    yield ""
    for d in found:
        yield f"### `{d.name}`\n"
        yield f"{_plain(d.summary)}\n"
        yield f"```\n{equations(d.text)}\n```\n"
        changed = SCENES.get(d.name, Scene()).settings
        under = f" with {', '.join(f'`{k} = {v!r}`' for k, v in changed.items())}".replace("'", '"') if changed else ""
        yield f"![Response of {d.name}{under.replace('`', '')}]({_picture(Kind.NEURON, d.name)})\n"
        if changed:
            yield f"Shown{under}.\n"
        yield f"{_defaults(d)} {_source(d)}\n"


def _surrogates() -> Iterator[str]:
    yield "| name | g(u) | | defaults | source |"
    yield "| --- | --- | --- | --- | --- |"
    for d in (describe(Kind.SURROGATE, name) for name in names(Kind.SURROGATE)):
        picture = f"![{d.name}]({_picture(Kind.SURROGATE, d.name)})"
        cells = [f"`{d.name}`", formula(d.text), picture, _defaults(d), _source(d)]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def equations(text: str) -> str:
    """The first literal block of a docstring, or the first formula in its text."""
    if block := re.search(r"::\n\n((?:[ ]{4}.*\n|\n)+)", f"{text}\n"):
        lines = [line.removeprefix("    ").rstrip() for line in block[1].splitlines()]
        return "\n".join(line for line in lines if line)
    inline = re.search(r"``([^`]* = [^`]*)``", text)
    if inline is None:
        raise ValueError(f"no equation in the docstring {text[:60]!r}")
    return inline[1]


def formula(text: str) -> str:
    """What a surrogate's docstring says of ``g(u)``."""
    found = re.search(r"(``g\(u\).*?)(?:;|\.\s|\.$)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no formula in the docstring {text[:60]!r}")
    return _plain(" ".join(found[1].split()))


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _defaults(d: Description) -> str:
    pairs = ", ".join(f"`{s.name} = {default_words(s)}`" for s in d.settings)
    return f"Defaults: {pairs}." if pairs else "No settings."


def _source(d: Description) -> str:
    file = "/".join(d.module.split(".")) + ".py"
    return (f"{d.paper}. " if d.paper else "") + f"[{Path(file).name}](../{file})"


def _picture(kind: Kind, name: str) -> str:
    return f"images/neurons/{'g-' if kind is Kind.SURROGATE else ''}{name}.svg"


def respond(name: str, current: Tensor, settings: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Output ``(T, N)`` and membrane after each step, if it has one, of a neuron under currents ``(T, N)``."""
    import torch

    from nastk.core.config import NeuronPart
    from nastk.core.model.neuron import TimeParallelNeuron, build_neuron
    from nastk.core.seeds import seeded

    with torch.no_grad(), seeded(0, "gallery"):
        neuron = build_neuron(NeuronPart.named(name, **settings), len(current)).to(current.dtype)
        outputs, membranes, state = [], [], neuron.initial_state(current[0])
        if isinstance(neuron, TimeParallelNeuron) or not hasattr(state, "v"):
            return neuron(current)[0], None
        for x in current:
            z, state = neuron.step(x, state)
            outputs.append(z)
            membranes.append(state.v)
    return torch.stack(outputs), torch.stack(membranes)


def draw_neuron(name: str) -> None:
    """The picture of a neuron."""
    import torch

    scene = SCENES.get(name, Scene())
    pulse = torch.zeros(scene.steps, 1, dtype=torch.float64)
    pulse[scene.steps // 8 : -scene.steps // 5] = scene.current
    if scene.back:
        pulse[scene.steps // 2 :] *= -1
    z, v = respond(name, pulse, scene.settings)
    levels = torch.linspace(*scene.curve, 81, dtype=torch.float64)
    rates = respond(name, levels.expand(scene.long, 81), scene.settings)[0].mean(0)
    figure, (left, right) = _figure(4.8, 1.5, widths=(2, 1))
    _trace(left, pulse[:, 0], z[:, 0], None if v is None else v[:, 0])
    right.plot(levels, rates, color="tab:blue", linewidth=1.2)
    right.set_xlabel("current")
    right.set_ylabel("mean output")
    _save(figure, Kind.NEURON, name)


def _trace(axes: Axes, current: Tensor, z: Tensor, v: Tensor | None) -> None:
    """Current, membrane and output over time."""
    steps = range(1, len(z) + 1)
    axes.set_xlabel("time step")
    axes.step(steps, current, where="mid", color="0.7", linewidth=1)
    shown = z if v is None and bool((z != z.round()).any()) else v
    if shown is not None and float(shown.abs().max()) > 10:  # millivolts, on an axis of their own
        axes.set_yticks([])
        axes = axes.twinx()
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_ticks_position("left")
    if shown is not None:
        axes.plot(steps, shown, color="tab:blue", linewidth=1.2)
    low, high = axes.get_ylim()
    for sign, color, at in ((1, "black", high), (-1, "tab:orange", low)):
        fired = [t for t, spike in zip(steps, z, strict=True) if float(spike) == sign and shown is not z]
        axes.vlines(fired, at, at + sign * 0.14 * (high - low), color=color, linewidth=1)


def draw_surrogate(name: str) -> None:
    """The picture of a surrogate."""
    import torch

    from nastk.core.config import SurrogatePart

    u = torch.linspace(-1.5, 1.5, 121, dtype=torch.float64)
    figure, (axes,) = _figure(1.8, 1.0, widths=(1,))
    g = SurrogatePart.named(name).build().gradient(u)
    axes.plot(u, g, color="tab:blue", linewidth=1.2)
    axes.axhline(1, color="0.7", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, max(2.0, 1.1 * float(g.max())))
    _save(figure, Kind.SURROGATE, name)


def _figure(width: float, height: float, widths: tuple[int, ...]) -> tuple[Any, list[Axes]]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "nastk", "font.size": 7, "axes.linewidth": 0.6})
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(width=0.6, length=2)
        one.locator_params(nbins=4)
    return figure, list(axes)


def _save(figure: Any, kind: Kind, name: str) -> None:
    path = PICTURES.parents[1] / _picture(kind, name)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    exact = path.read_text(encoding="utf-8")
    short = re.sub(r"(\d+\.\d\d)\d+", r"\1", exact)  # a hundredth of a point is enough
    short = re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", short)
    short = re.sub(r" <metadata>.*?</metadata>\n", "", short, flags=re.DOTALL)
    path.write_text(short.replace(" \n", "\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
