"""Writes the table of ``attention.md``, every attention with its formula and size: ``python docs/attention_table.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nastk.core.config import AttentionPart
from nastk.core.describe import default_words, describe
from nastk.core.model.attention import Attention
from nastk.core.registry import registry
from nastk.core.types import Axis, Kind, Shape

FILE = Path(__file__).with_name("attention.md")
BEGIN, END = "<!-- written by `python docs/attention_table.py` -->\n", "<!-- end of what is written -->\n"
SHAPE = Shape(2, 64, 8, 8)
"""Where the parameters are counted: T = 2, C = 64; height and width make no difference."""
FORMULAS = {
    "none": "`x`",
    "se": "`x s(MLP(mean_HW))`, C numbers a step",
    "eca": "`x s(conv1d_k(mean_HW))` along C, C numbers a step",
    "cbam": "`x s(MLP(mean_HW) + MLP(max_HW))`, then `u s(conv_kxk[mean_C u, max_C u])`, per step",
    "bam": "`x (1 + s(MLP(mean_HW) + conv_1x1(g(g(f(x))))))`, f 1x1 to h channels, g 3x3 dilated, per step",
    "temporal": "`x s(MLP(mean_CHW) + MLP(max_CHW))`, T numbers",
    "ta": "as `temporal`, with the settings of MA-SNN",
    "ca": "`x s(MLP(mean_THW) + MLP(max_THW))`, C numbers for all steps",
    "sa": "`x s(conv_kxk[mean_TC, max_TC])`, one map for all steps and channels",
    "tca": "`ta`, then `ca` of what it gives",
    "csa": "`ca`, then `sa` of what it gives",
    "tcsa": "`ta`, then `ca`, then `sa`, each of what the one before gives",
    "tcja": "`x s(conv_C(Z) conv_T(Z))`, Z = mean_HW: one along C with weights T to T, one along T with weights C to C",
    "gac": "`x s(TA SCA)`: `TA = MLP(mean_CHW) + MLP(max_CHW)`, T numbers; `SCA = conv_kxk(relu(conv_kxk(x)))`, per step",
    "sma": "`sum_k wt_k wc_k y_k`, `y_k = neuron(BN(conv_kxk(x)))`, k = 1, 3, 5, 7; weights: softmaxes over k of MLPs",
}
"""What stands in the table's second column: no code says it in a line."""


def main() -> None:
    """Write the table into the page."""
    FILE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page with the table as it should be."""
    before, rest = FILE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n".join(table()) + "\n" + END + rest.split(END)[1]


def table() -> Iterator[str]:
    """A line for each attention of nastk's own distribution."""
    yield "| name | output | mixes | causal | weights for one T | parameters | defaults | source |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    entries = [entry for entry in registry().entries() if entry.kind is Kind.ATTENTION]
    bundled = [entry.name for entry in entries if entry.source.distribution == "nastk"]
    for name in sorted(bundled, key=[*FORMULAS, *bundled].index):
        module, found = built(name, SHAPE), describe(Kind.ATTENTION, name)
        longer = built(name, SHAPE._replace(T=SHAPE.T + 2))
        tied = [tuple(p.shape) for p in module.parameters()] != [tuple(p.shape) for p in longer.parameters()]
        axes = [axis.value for axis in Axis if axis in module.axes]
        settings = [f"`{setting.name} = {default_words(setting)}`" for setting in found.settings]
        cells = [
            f"`{name}`",
            FORMULAS[name],
            ", ".join(axes) or "nothing",
            "no" if Axis.T in module.axes else "yes",
            "yes" if tied else "no",
            f"{sum(p.numel() for p in module.parameters()):,}",
            ", ".join(settings),
            re.sub(r"^(.+? et al\.), .+, ([^,]+)$", r"\1, \2", found.paper),
        ]
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def built(name: str, shape: Shape) -> Attention:
    """The attention with its defaults."""
    module: Attention = AttentionPart.named(name).build(shape)
    return module


if __name__ == "__main__":
    main()
