"""What a report says of a search: mixing weights, entropy, curves, spikes, trials and their fronts. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nastk.core.cell.attended import ATTENTION
from nastk.core.cell.cells import LAYERS
from nastk.core.cell.graph import Cell
from nastk.core.cell.layout import SCALES
from nastk.core.draw.cell_layout import node_labels
from nastk.core.model.relaxation import EDGES
from nastk.core.report.amounts import amount, at, number_at, percent, table_at, text_at
from nastk.core.report.cells import plain_label
from nastk.core.report.charts import Mark, Series, legend, line_chart, scatter, small_chart
from nastk.core.report.documents import TrialRow
from nastk.core.report.gather import RunData
from nastk.core.report.markup import Child, Html, table, tag
from nastk.core.report.sections import grid, section
from nastk.core.report.timeline import Stage, thinned

ACCURACIES = {
    "accuracy": "training",
    "valid_accuracy": "validation",
    "best_accuracy": "best so far",
    "population_accuracy": "population",
    "supernet_accuracy": "supernet",
}
COSTS = {
    "nos": "spikes an image",
    "parameters": "parameters",
    "macs": "MACs an image",
    "latency": "latency, ms",
    "firing_rate": "firing rate",
}
"""Figures of a trial that an accuracy is paid with."""
QUALITY = "accuracy"
MOST_MARKS, BEST = 1500, 10


def search_section(run: RunData, prefix: str, level: int) -> Html | None:
    """The whole course of a search."""
    stage = run.timeline.stage("search")
    if stage is None:
        return None
    parts: list[Child] = [_curves(stage), *_mixing(run, stage, level + 1), *_trials(run, stage, level + 1)]
    return section(f"{prefix}-search", "Search", level, *parts)


def _curves(stage: Stage) -> Html | None:
    unit = "epoch" if "loss" in stage.last else "step"
    accuracies = [Series(name, stage.series(key)) for key, name in ACCURACIES.items()]
    decided = [Series("entropy", stage.series("entropy")), Series("skip share", stage.series("skip_share"))]
    bounded = all(0 <= value <= 1 for one in decided for _, value in one.points)
    spikes = [
        Series("training", stage.series("nos", "train", "total")),
        Series("validation", stage.series("nos", "validation", "total")),
        Series("best candidate", stage.series("best_nos")),
    ]
    layers = [_by_layer(stage, "train", "training", unit), _by_layer(stage, "validation", "validation", unit)]
    charts = [
        line_chart(accuracies, "Accuracy in the search", unit, "accuracy", form="share", limits=(0.0, 1.0)),
        line_chart([Series("loss", stage.series("loss"))], "Loss in the search", unit, "loss"),
        line_chart(
            decided,
            "Entropy of the mixing weights, share of skips" if len(decided[1].points) else "Entropy",
            unit,
            "from 0 to 1" if bounded else "entropy",
            limits=(0.0, 1.02) if bounded else None,
            zero=bounded,
        ),
        line_chart(spikes, "Spikes in the search", unit, "spikes an image"),
        *layers,
        line_chart([Series("hypervolume", stage.series("hypervolume"))], "Hypervolume of the front", unit, "hypervolume"),
    ]
    return grid(charts)


def _by_layer(stage: Stage, part: str, name: str, unit: str) -> Html | None:
    cells = at(stage.last, "nos", part, "cells")
    count = len(cells) if isinstance(cells, Sequence) and not isinstance(cells, str) else 0
    series = [Series(f"layer {i + 1}", stage.series("nos", part, "cells", i)) for i in range(count)]
    return line_chart(series, f"Spikes by layer, {name}", unit, "spikes an image")


def _mixing(run: RunData, stage: Stage, level: int) -> list[Html | None]:
    """Small pictures of every edge's mixing weights, and the weights at the end, cell by cell."""
    weights = table_at(stage.last, "weights")
    found: list[Html | None] = []
    for name, rows in weights.items():
        height = len(rows) if isinstance(rows, list) else 0
        width = len(rows[0]) if height and isinstance(rows[0], list) else 0
        if not width:
            continue
        titles, options = _names(name, height, width, run.full)
        series = [[stage.series("weights", name, r, c) for c in range(width)] for r in range(height)]
        most = min(1.0, math.ceil(10 * max((v for row in series for line in row for _, v in line), default=1.0)) / 10)
        drawn = [
            small_chart(title, [Series(option, line) for option, line in zip(options, row, strict=True)], most)
            for title, row in zip(titles, series, strict=True)
            if any(value for line in row for _, value in line)  # a move that does not exist weighs nothing
        ]
        what = f"Mixing weights, {_spoken(name)}"
        keys = legend([(option, i) for i, option in enumerate(options)])
        pictures = tag("div", drawn, class_="smalls")
        last = [
            (title, *(_weight(run, name, r, c, number_at(rows, r, c)) for c in range(width))) for r, title in enumerate(titles)
        ]
        numbers = table(f"{what}, after the last step (bold: in the found cell)", (_heading(name), *options), last, "figures")
        hidden = tag("details", tag("summary", "The weights at the end as numbers"), numbers)
        found.append(tag("div", tag(f"h{level}", what), keys, pictures, hidden, class_="mixing"))
    return found


def _names(name: str, height: int, width: int, full: Mapping[str, Cell]) -> tuple[list[str], list[str]]:
    """What the rows and columns of a table of weights are called; numbers where nobody knows."""
    rows, columns = [f"row {r + 1}" for r in range(height)], [f"candidate {c + 1}" for c in range(width)]
    whole, _, kind = name.partition(".")
    cell = full.get(whole)
    if name == LAYERS and width == 2 and height % SCALES == 0:
        return [f"to layer {r // SCALES + 2} from scale {r % SCALES}" for r in range(height)], ["keeps the scale", "halves it"]
    if cell is None:
        return rows, columns
    edges = edge_names(cell)
    if kind == EDGES and width == len(edges):
        return ["edges"], edges
    candidates = list(cell.edges[0].attentions if kind == ATTENTION else cell.edges[0].candidates)
    return (edges, candidates) if (height, width) == (len(edges), len(candidates)) else (rows, columns)


def edge_names(cell: Cell) -> list[str]:
    """Each edge by the labels of its ends, as they stand in the picture of a cell."""
    labels = [plain_label(label) for label in node_labels(cell)]
    return [f"{labels[edge.src]} \N{RIGHTWARDS ARROW} {labels[edge.dst]}" for edge in cell.edges]


def _weight(run: RunData, name: str, row: int, column: int, value: float | None) -> Child:
    text = "" if value is None else f"{value:.3f}"
    whole, _, kind = name.partition(".")
    cell, found = run.full.get(whole), run.genotype
    if cell is None or found is None or row >= len(cell.edges) or whole not in dict(found.cells) or kind == EDGES:
        return text
    edge = cell.edges[row]
    options = edge.attentions if kind == ATTENTION else edge.candidates
    kept = [e for e in found.cell(whole).edges if (e.src, e.dst) == (edge.src, edge.dst)]
    held = [e.attention if kind == ATTENTION else e.op for e in kept]
    return tag("strong", text) if column < len(options) and options[column] in held else text


def _heading(name: str) -> str:
    return "move" if name == LAYERS else "edge"


def _spoken(name: str) -> str:
    if name == LAYERS:
        return "path of layers"
    whole, _, kind = name.partition(".")
    return f"{kind} of the {whole} cell" if kind else f"{whole} cell"


def _trials(run: RunData, stage: Stage, level: int) -> list[Html | None]:
    """How good each trial was, what it cost, and the best of them."""
    worth = [(trial, accuracy) for trial in run.trials if (accuracy := _accuracy(trial)) is not None]
    front = _front(stage)
    if not worth:
        return [front]
    best, so_far = [], 0.0
    for trial, accuracy in worth:
        so_far = max(so_far, accuracy)
        best.append((float(trial.number), so_far))
    dots = [(float(trial.number), accuracy) for trial, accuracy in worth]
    course = line_chart(
        [Series("a trial", dots, dots=True), Series("best so far", best)],
        "Validation accuracy of the trials",
        "trial",
        "validation accuracy",
        form="share",
        limits=(0.0, 1.0),
    )
    fronts = [_paid(worth, cost, name, text_at(run.result, "genotype", "digest")) for cost, name in COSTS.items()]
    failed = sum(trial.failure is not None for trial in run.trials)
    lost = f", {run.lost} are damaged and not shown" if run.lost else ""
    note = tag("p", f"{len(run.trials)} trials, {failed} of them failed{lost}.", class_="note")
    heading = tag(f"h{level}", "Trials")
    return [tag("div", heading, note, grid([course, *fronts]), _best(worth), class_="trials"), front]


def _paid(worth: Sequence[tuple[TrialRow, float]], cost: str, name: str, found: str) -> Html | None:
    marks = [
        Mark(paid, accuracy, f"trial {trial.number} ({trial.digest})", 1 if trial.digest == found else 0)
        for trial, accuracy in worth
        if (paid := _cost(trial.figures, cost)) is not None
    ]
    chosen = [mark for mark in marks if mark.look == 1]
    best = sorted(marks, key=lambda mark: -mark.y)[:MOST_MARKS]
    shown = [*(best if len(marks) > MOST_MARKS else marks), *(mark for mark in chosen if mark not in best)]
    looks = {0: "a trial", 1: "the found genotype"}
    return scatter(shown, f"Trials: accuracy and {name}", name, "validation accuracy", looks=looks)


def _best(worth: Sequence[tuple[TrialRow, float]]) -> Html:
    costs = [cost for cost in COSTS if any(_cost(trial.figures, cost) is not None for trial, _ in worth)]
    ranked = sorted(worth, key=lambda pair: -pair[1])[:BEST]
    rows = [
        (str(t.number), t.digest, str(t.epochs), percent(accuracy), *(amount(_cost(t.figures, cost)) for cost in costs))
        for t, accuracy in ranked
    ]
    head = ("trial", "genotype", "epochs", "validation accuracy", *(COSTS[cost] for cost in costs))
    return table("The best trials", head, rows, "figures")


def _front(stage: Stage) -> Html | None:
    """The front that a search with several objectives reports, drawn against the accuracy."""
    found = at(stage.last, "front")
    entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    names = list(dict.fromkeys(str(name) for entry in entries for name in entry if name != "genotype"))
    if not entries:
        return None
    rows = [(text_at(entry, "genotype"), *(amount(number_at(entry, name)) for name in names)) for entry in thinned_rows(entries)]
    numbers = table("The front that the search reports, by its objectives", ("genotype", *names), rows, "figures")
    charts = []
    for name in names:
        pairs = [(number_at(entry, name), number_at(entry, QUALITY), text_at(entry, "genotype")) for entry in entries]
        marks = [Mark(cost, worth, digest) for cost, worth, digest in pairs if cost is not None and worth is not None]
        if name != QUALITY:
            charts.append(scatter(marks, f"Front of the search: accuracy and {name}", name, "validation accuracy", looks={}))
    return tag("div", numbers, grid(charts), class_="front-of-search")


def thinned_rows(entries: Sequence[Mapping[str, Any]], most: int = 50) -> list[Mapping[str, Any]]:
    """At most so many of them, evenly."""
    places = thinned([(float(i), 0.0) for i in range(len(entries))], most)
    return [entries[int(i)] for i, _ in places]


def _accuracy(trial: TrialRow) -> float | None:
    return None if trial.failure is not None else number_at(trial.figures, QUALITY)


def _cost(figures: Mapping[str, Any], name: str) -> float | None:
    found = number_at(figures, name)
    return number_at(figures, name, "total") if found is None else found
