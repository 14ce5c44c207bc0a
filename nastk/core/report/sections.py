"""What a report says of one run beside its search: result, cells, training, spikes, warnings, how to repeat it. Torch-free."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tomli_w

from nastk.core.report.amounts import DASH, amount, at, number_at, percent, span, table_at, text_at
from nastk.core.report.cells import cell_figures
from nastk.core.report.charts import Series, bar_chart, line_chart
from nastk.core.report.gather import RunData
from nastk.core.report.markup import Child, Html, table, tag

NOS = {"test": "test data", "validation": "validation part", "train": "weights part"}
NOT_MEASURED, UNKNOWN = "not measured", "unknown"


Part = tuple[str, str, Html | None]
"""A section by its place on the page and its name; ``None`` where there is nothing to say."""


def section(place: str, heading: str, level: int, *children: Child) -> Html | None:
    """A part of the page with its heading; ``None`` when all its children are."""
    if not any(child is not None and child != [] for child in children):
        return None
    return tag("section", tag(f"h{level}", heading, id=place), children)


def grid(charts: Iterable[Html | None]) -> Html | None:
    """Charts beside each other, as many as the page has room for; ``None`` when there is none."""
    found = [chart for chart in charts if chart is not None]
    return tag("div", found, class_="grid") if found else None


def pairs(caption: str, entries: Mapping[str, Any]) -> Html:
    """A table of names and values."""
    return table(caption, ("entry", "value"), [(name, str(value)) for name, value in entries.items()], "pairs")


def result_section(run: RunData, prefix: str, level: int) -> Html | None:
    """What the found network is worth, each number with what it means."""
    result, test = run.result, table_at(run.result, "test")
    low, high = number_at(test, "ci95", 0), number_at(test, "ci95", 1)
    interval = "" if low is None or high is None else f"95 % interval {percent(low)} to {percent(high)}, by the number of images"
    images, epoch = number_at(test, "n"), number_at(test, "epoch")
    interval += f" ({images:.0f})" if images and interval else ""
    taken = f"the network after epoch {epoch:.0f}" if epoch is not None else ""
    rows = [
        ("test accuracy", percent(run.accuracy), "; ".join(filter(None, (interval, taken)))),
        ("parameters", amount(number_at(result, "parameters")), "learned numbers, without an auxiliary head"),
        ("NoS", amount(number_at(result, "nos", "test", "total")), "spikes for one test image, all time steps"),
        ("firing rate", percent(number_at(result, "firing_rate")), "of neurons and time steps that fire"),
        ("MACs", amount(number_at(result, "macs")), "multiply-accumulates for one image"),
        ("ACs", amount(number_at(result, "acs")), "accumulates for one image"),
        ("SOPs", amount(number_at(result, "sops")), "pairs of a spike and a synapse for one image"),
        ("energy", amount(number_at(result, "energy_nj", "value"), "nJ"), _profile(run)),
        ("latency", _latency(run), "for one image"),
        ("search", span(number_at(result, "search", "seconds")), _units(result, "search", "steps")),
        ("training", span(number_at(result, "train", "seconds")), _units(result, "train", "epochs")),
    ]
    return section(
        f"{prefix}-result", "Result", level, table("What the run found", ("figure", "value", "meaning"), rows, "result")
    )


def cells_section(run: RunData, prefix: str, level: int) -> Html | None:
    """The found cells, drawn."""
    if run.genotype is None:
        return None
    parts = ", ".join(f"{name} {value}" for name, value in run.genotype.parts)
    note = tag("p", f"Genotype {run.genotype.digest} of the space {run.genotype.space}: {parts}.", class_="note")
    return section(f"{prefix}-cells", "Found cells", level, note, cell_figures(run.genotype))


def training_section(run: RunData, prefix: str, level: int) -> Html | None:
    """The course of the training from scratch."""
    stage = run.timeline.stage("train")
    if stage is None:
        return None
    losses = [Series("training", stage.series("loss")), Series("validation", stage.series("valid_loss"))]
    loss = line_chart(losses, "Loss of the training from scratch", "epoch", "loss")
    accuracies = [Series("training", stage.series("accuracy")), Series("validation", stage.series("valid_accuracy"))]
    title = "Accuracy of the training from scratch"
    accuracy = line_chart(accuracies, title, "epoch", "accuracy", form="share", limits=(0.0, 1.0))
    told = "Training: means over the augmented batches of each epoch. The test data are opened once, after the last."
    note = tag("p", told, class_="note")
    charts = grid([accuracy, loss])
    return section(f"{prefix}-training", "Training from scratch", level, charts, note if charts else None)


def spikes_section(run: RunData, prefix: str, level: int) -> Html | None:
    """The spikes of the trained network, layer by layer."""
    found = {name: table_at(run.result, "nos", name) for name in NOS}
    cells = {name: at(found[name], "cells") for name in NOS}
    counts = {name: [number_at(c, i) for i in range(len(c))] for name, c in cells.items() if isinstance(c, Sequence)}
    if not any(counts.values()):
        return None
    layers = max(map(len, counts.values()))
    series = [
        Series(NOS[name], [(float(i), value) for i, value in enumerate(values) if value is not None])
        for name, values in counts.items()
    ]
    picture = bar_chart(
        [str(i + 1) for i in range(layers)], series, "Spikes of the trained network by layer", "layer of cells", "spikes an image"
    )
    head = ("measured on", "all neurons", *(f"layer {i + 1}" for i in range(layers)))
    rows = [
        (NOS[name], amount(number_at(found[name], "total")), *(amount(number_at(cells[name], i)) for i in range(layers)))
        for name in counts
    ]
    numbers = table("Number of spikes (NoS) for one image", head, rows, "figures")
    return section(f"{prefix}-spikes", "Spikes", level, grid([picture]), numbers)


def warnings_section(run: RunData, prefix: str, level: int) -> Html | None:
    """What the run said on the way."""
    notices = [tag("li", text) for text in run.timeline.notices]
    return section(f"{prefix}-notices", "What the run said", level, tag("ul", notices)) if notices else None


def repeat_section(manifest: Mapping[str, Any], settings: Mapping[str, Any], prefix: str, level: int, how: str) -> Html | None:
    """Command, code, versions, machine and settings; ``how`` is the command that takes the settings as a file."""
    commit, changed = text_at(manifest, "code", "commit"), at(manifest, "code", "changed")
    code = "installed package" if not commit else f"commit {commit}" + (", with changes that are not in it" if changed else "")
    about = {
        "command": text_at(manifest, "command") or DASH,
        "started": text_at(manifest, "started") or DASH,
        "code": code,
        **{f"machine: {name}": value for name, value in table_at(manifest, "machine").items()},
    }
    versions = table_at(manifest, "versions")
    packages = [shlex.quote(f"{name}=={value}") for name, value in versions.items() if value != UNKNOWN]
    steps = f"pip install {' '.join(packages)}\n{how}"
    try:
        text = tomli_w.dumps(dict(settings))
    except (TypeError, ValueError):
        text = str(settings)
    file = how.rpartition(" ")[2]
    return section(
        f"{prefix}-repeat",
        "To repeat it",
        level,
        pairs("Command, code and machine", about),
        pairs("Versions", versions),
        tag("p", f"Save the settings below as {file}, then:"),
        _code(steps, "Commands"),
        tag("details", tag("summary", "Resolved settings"), _code(text, "Resolved settings")),
    )


def _code(text: str, name: str) -> Html:
    return tag("pre", tag("code", text), class_="scroll", tabindex="0", role="region", aria_label=name)


def _profile(run: RunData) -> str:
    profile = text_at(run.result, "energy_nj", "profile")
    return f"for one image, counted with the profile {profile}, not measured" if profile else "for one image"


def _latency(run: RunData) -> str:
    """The latency of the found genotype, where a trial of it or the front of the search reports one."""
    digest, stage = text_at(run.result, "genotype", "digest"), run.timeline.stage("search")
    told = [trial.figures for trial in run.trials if trial.digest == digest]
    front = at(stage.last, "front") if stage else None
    told += [table_at(entry) for entry in front if text_at(entry, "genotype") == digest] if isinstance(front, list) else []
    for figures in told:
        for name in figures:
            if "latency" in name and (found := number_at(figures, name)) is not None:
                return f"{amount(found)} ms" if name == "latency" else f"{amount(found)} ({name})"
    return NOT_MEASURED


def _units(result: Mapping[str, Any], stage: str, unit: str) -> str:
    count = number_at(result, stage, unit)
    return "" if count is None else f"{count:.0f} {unit}"
