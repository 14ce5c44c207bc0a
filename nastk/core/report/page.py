"""The whole page: one file with its style and script in it, which asks the network for nothing. Torch-free.

A content security policy allows the one style sheet and the one script by their checksums and nothing else, so that even markup
that slipped through could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

import nastk
from nastk.core.report.checklist import checklist_section
from nastk.core.report.gather import RunData, StudyData
from nastk.core.report.markup import Child, Html, joined, tag
from nastk.core.report.overview import overview_section, title_of, verdict_of, what
from nastk.core.report.search_sections import search_section
from nastk.core.report.sections import (
    Part,
    cells_section,
    repeat_section,
    result_section,
    section,
    spikes_section,
    training_section,
    warnings_section,
)
from nastk.core.report.study_sections import study_sections

STYLE, SCRIPT = "report.css", "report.js"
OPEN = 2
"""Runs up to which each one is shown unfolded."""


def page(runs: Sequence[RunData], studies: Sequence[StudyData]) -> str:
    """The report as HTML. Equal contents give equal text."""
    title = title_of(runs, studies)
    parts: list[Part] = [("overview", "All runs", overview_section(runs))]
    if len(runs) + len(studies) == 1:
        parts += _run(runs[0], "run", 2) if runs else study_sections(studies[0], "study", 2)
    else:
        parts += [_nested(study, nth) for nth, study in enumerate(studies, start=1)]
        parts += [_folded(run, nth, len(runs)) for nth, run in enumerate(runs, start=1)]
    parts.append(("checklist", "Checklist of good practice", checklist_section(runs, studies)))
    shown = [(place, name, part) for place, name, part in parts if part is not None]
    links = [tag("li", tag("a", name, href=f"#{place}")) for place, name, _ in shown]
    header = tag(
        "header",
        tag("h1", title),
        [tag("p", sentence, class_="verdict") for sentence in verdict_of(runs, studies)],
        tag("nav", tag("ul", links), aria_label="Contents"),
    )
    footer = tag("footer", tag("p", f"Made by nastk {nastk.__version__}. This file is whole: it loads nothing."))
    body = tag("body", header, tag("main", [part for _, _, part in shown]), footer, _script())
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def _run(run: RunData, prefix: str, level: int) -> list[Part]:
    """The sections of a run, each with its place and its name."""
    repeat = repeat_section(run.manifest, run.config, prefix, level, "nastk run run.toml")
    return [
        (f"{prefix}-result", "Result", result_section(run, prefix, level)),
        (f"{prefix}-cells", "Found cells", cells_section(run, prefix, level)),
        (f"{prefix}-search", "Search", search_section(run, prefix, level)),
        (f"{prefix}-training", "Training from scratch", training_section(run, prefix, level)),
        (f"{prefix}-spikes", "Spikes", spikes_section(run, prefix, level)),
        (f"{prefix}-notices", "What the run said", warnings_section(run, prefix, level)),
        (f"{prefix}-repeat", "To repeat it", repeat),
    ]


def _nested(study: StudyData, nth: int) -> Part:
    place, name = f"study-{nth}", f"Study {study.path.resolve().name}"
    return place, name, section(place, name, 2, [part for _, _, part in study_sections(study, place, 3)])


def _folded(run: RunData, nth: int, count: int) -> Part:
    place, name = f"run-{nth}", f"{what(run)}, seed {run.seed}"
    inside = [part for _, _, part in _run(run, place, 3)]
    summary = tag("summary", tag("h2", f"Run {run.path}: {name}", id=place))
    return place, f"Run {nth}: {name}", tag("details", summary, inside, class_="run", open=count <= OPEN)


def _head(title: str) -> Html:
    style, script = _source(STYLE), _source(SCRIPT)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_checksum(style)}'; script-src '{_checksum(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts: list[Child] = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{title} - nastk report"),
        Html(f"<style>{style}</style>"),
    ]
    return tag("head", joined(parts, "\n"))


def _script() -> Html:
    return Html(f"<script>{_source(SCRIPT)}</script>")


def _source(name: str) -> str:
    return (resources.files("nastk.core.report") / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
