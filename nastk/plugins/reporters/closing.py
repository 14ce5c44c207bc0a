"""The table that ends a run: what was found, what it costs, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nastk.plugins.reporters.figures import duration, humanise, number, percent

FILES = {
    "report.html": "everything on one page",
    "result.json": "these numbers",
    "genotype.json": "the network that was found",
    "cell_*.png": "its cells drawn",
    "metrics.jsonl": "every step",
    "manifest.toml": "settings and versions",
}
"""Files of a run directory that are worth a look, as patterns; those that are there get listed."""

Result = Mapping[str, Any]


def closing_table(directory: Path, result: Result) -> Table:
    """Two columns, name and value; what the result does not have, or has as ``None``, has no row."""
    status = result.get("status")
    title = Text(f"Result ({status})" if status else "Result", style="bold")
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows(directory, result):
        table.add_row(Text(name), Text(value))
    return table


def rows(directory: Path, result: Result) -> list[tuple[str, str]]:
    """The table as pairs of text, in the order in which they are shown."""
    pairs = [
        ("test accuracy", _accuracy(result)),
        ("parameters", _amount(result, "parameters")),
        ("network", _network(result)),
        ("time steps T", _amount(result, "time_steps")),
        ("NoS (test)", _with(_amount(result, "nos", "test", "total"), " spikes an image")),
        ("firing rate", _share(result, "firing_rate")),
        ("MACs / ACs / SOPs", _operations(result)),
        ("energy", _energy(result)),
        ("search", _stage(result, "search", "steps")),
        ("training", _stage(result, "train", "epochs")),
        ("genotype", _text(result, "genotype", "digest")),
        ("directory", str(directory)),
        ("look at", _files(directory)),
    ]
    return [(name, value) for name, value in pairs if value]


def _at(result: Any, *path: str) -> Any:
    """The entry at a path, or ``None``: a reporter must survive a result of another form."""
    for step in path:
        result = result.get(step) if isinstance(result, Mapping) else None
    return result


def _text(result: Result, *path: str) -> str | None:
    value = _at(result, *path)
    return value if isinstance(value, str) else None


def _amount(result: Result, *path: str) -> str | None:
    value = number(_at(result, *path))
    return None if value is None else humanise(value)


def _share(result: Result, *path: str) -> str | None:
    value = number(_at(result, *path))
    return None if value is None else percent(value)


def _with(value: str | None, unit: str) -> str | None:
    return None if value is None else value + unit


def _accuracy(result: Result) -> str | None:
    accuracy = number(_at(result, "test", "accuracy"))
    if accuracy is None:
        return None
    n = number(_at(result, "test", "n"))
    of = "" if n is None else f" of {n:,.0f}"
    interval = _at(result, "test", "ci95")
    bounds = [number(bound) for bound in interval] if isinstance(interval, (list, tuple)) else []
    if len(bounds) == 2 and bounds[0] is not None and bounds[1] is not None:
        of += f" (95 % CI {100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})"
    return percent(accuracy, 2) + of


def _network(result: Result) -> str | None:
    attention = _text(result, "attention")
    parts = [
        _with(_text(result, "neuron"), " neurons"),
        "no attention" if attention == "none" else _with(attention, " attention"),
    ]
    return ", ".join(part for part in parts if part)


def _operations(result: Result) -> str | None:
    amounts = [_amount(result, name) for name in ("macs", "acs", "sops")]
    return " / ".join(amount or "-" for amount in amounts) if any(amounts) else None


def _energy(result: Result) -> str | None:
    value = number(_at(result, "energy_nj", "value"))
    if value is None:
        return None
    unit = next((u for u, nj in (("mJ", 1e6), ("uJ", 1e3)) if abs(value) >= nj), "nJ")
    scaled = value / {"mJ": 1e6, "uJ": 1e3, "nJ": 1}[unit]
    profile = _text(result, "energy_nj", "profile")
    return f"{humanise(scaled)} {unit} an image" + (f" (profile {profile})" if profile else "")


def _stage(result: Result, stage: str, units: str) -> str | None:
    seconds = number(_at(result, stage, "seconds"))
    if seconds is None:
        return None
    count = _amount(result, stage, units)
    return duration(seconds) + (f" ({count} {units})" if count else "")


def _files(directory: Path) -> str:
    return "\n".join(f"{pattern} ({what})" for pattern, what in FILES.items() if any(Path(directory).glob(pattern)))
