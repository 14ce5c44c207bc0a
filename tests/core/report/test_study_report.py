"""Reports of studies, which `nastk ablate` writes among its tables."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

import nastk
from nastk.core.ablation.ablate import study_of
from nastk.core.ablation.conclusions import conclusions, number
from nastk.core.report.gather import StudyData, gather, run_data
from nastk.core.report.overview import study_verdict
from nastk.core.report.page import page
from tests.core.report.parsing import checked, read


def test_a_study_has_a_report_with_all_its_numbers(study: Path) -> None:
    result = study_of(study)
    found = read(study / "report.html")
    text = found.text
    assert [name for _, name in found.headings] == [
        "Study gates", "What can be concluded, and what cannot", "test.accuracy, % (higher is better)",
        "parameters (lower is better)", "Accuracy and what it costs", "Every number", "Methods", "To repeat it",
        "Checklist of good practice",
    ]  # fmt: skip
    for sentence in conclusions(result):
        assert " ".join(sentence.split()) in text
    for metric in result.metrics:
        for row in metric.rows:
            assert number(row.described.mean) in text
            for value in row.values.values():
                assert number(value) in found.said
            if row.against is not None and row.against.mean is not None:
                assert f"{number(row.against.low)} to {number(row.against.high)}" in text
    pictures = [attrs["aria-label"] for attrs in found.having("svg", class_="intervals")]
    assert len(pictures) == 2
    assert "eca, n = 2" in pictures[0]
    assert len(found.having("circle", class_="dot")) >= 8, "two cells, two seeds, two metrics"
    assert "nastk ablate study.toml" in text
    assert "Varied: model.attention." in text
    assert "Seeds: 0, 1. Each setting has 2 or more." in text


def test_the_report_can_be_made_again_and_beside_runs(study: Path, tmp_path: Path) -> None:
    again = nastk.report(study, tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == (study / "report.html").read_text(encoding="utf-8")
    runs = sorted((study / "runs").iterdir())
    found = read(nastk.report([study, *runs], tmp_path / "all.html"))
    assert found.headings[0] == (1, "4 runs and 1 study")
    assert len(found.having("details", class_="run")) == 4


def test_a_real_run_has_all_that_it_logged(study: Path) -> None:
    run = run_data(next(path for path in sorted((study / "runs").iterdir())))
    found = checked(page([run], []))
    names = [name for _, name in found.headings]
    for name in (
        "Result",
        "Found cells",
        "Search",
        "Mixing weights, shared cell",
        "Training from scratch",
        "Spikes",
        "To repeat it",
    ):
        assert name in names
    assert len(found.having("svg", class_="small")) == len(run.full["shared"].edges)


def test_the_verdict_of_a_study(study: Path) -> None:
    data = gather(study)
    assert isinstance(data, StudyData)
    said = study_verdict(data)
    assert said.startswith("Study gates, 2 cells and 2 seeds: test.accuracy:")
    assert "too few seeds to conclude anything" in said
    (base, other), first = data.result.metrics[0].rows, data.result.metrics[0]
    for mean, word in ((3.0, "better"), (-3.0, "worse")):
        shown = evolve(other, against=evolve(other.against, mean=mean, holm=0.01))
        result = evolve(data.result, metrics=(evolve(first, rows=(base, shown)),))
        assert f"eca {word} than the baseline (none)." in study_verdict(evolve(data, result=result))
