"""Reports of runs: every part that a run has something for, whole pages that load nothing, one sentence for mistakes."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nastk
from nastk.core.errors import NastkError, OutputError
from nastk.core.report.checklist import GROUPS
from nastk.core.report.gather import RunData, run_data
from nastk.core.report.page import page
from nastk.core.report.search_sections import edge_names
from nastk.core.report.timeline import Timeline, timeline
from nastk.core.run.runfile import typed
from tests.core.report.conftest import RESULT, Make
from tests.core.report.parsing import Page, checked, read
from tests.core.report.test_markup import ANY, HOSTILE

TRIALS: list[dict[str, Any]] = [
    {"accuracy": 0.5, "nos": {"total": 40.0}, "latency": 3.5},
    {"accuracy": 0.75, "nos": {"total": 80.0}, "latency": 4.5},
    {"failure": "the loss became nan"},
]


def headings(found: Page) -> list[str]:
    return [text for _, text in found.headings]


def test_a_run_has_every_part(make: Make) -> None:
    run = make(trials=TRIALS, notices=["The normal cell is turning into skips."])
    assert nastk.report(run) == run / "report.html"
    found = read(run / "report.html")
    assert headings(found) == [
        "darts in toy on synthetic", "Result", "Found cells", "Search", "Mixing weights, shared cell", "Trials",
        "Training from scratch", "Spikes", "What the run said", "To repeat it", "Checklist of good practice",
    ]  # fmt: skip
    text = found.text
    for said in (
        "Test accuracy 87.50 % (95 % interval 71.93 % to 95.03 %) with 4,321 parameters and 500.2 spikes an image.",
        "One run of one seed: it says nothing about the spread.",
        "turning into skips",
        "nastk run run.toml --seed 0",
        "torch==2.6.0",
        "commit 0123456789abcdef",
        "3 trials, 1 of them failed.",
        "Lindauer and Hutter",
        "6.4 nJ",
    ):
        assert said in text, said
    for title in (
        "Accuracy in the search", "Loss in the search", "Spikes in the search", "Spikes by layer, training",
        "Spikes by layer, validation", "Validation accuracy of the trials", "Trials: accuracy and spikes an image",
        "Trials: accuracy and latency, ms", "Accuracy of the training from scratch", "Loss of the training from scratch",
        "Spikes of the trained network by layer", "shared cell", "Entropy of the mixing weights, share of skips",
    ):  # fmt: skip
        assert title in found.said, title
    links = [attrs["href"][1:] for attrs in found.having("a")]
    assert len(links) == 8
    assert nastk.report(run).read_bytes() == (run / "report.html").read_bytes()


def test_the_settings_in_it_are_the_run(make: Make) -> None:
    run = run_data(make())
    text = page([run], [])
    (shown,) = re.findall(r'aria-label="Resolved settings"><code>(.*?)</code>', text, re.DOTALL)
    assert typed(tomllib.loads(html.unescape(shown)), "the report") == typed(run.config, "the manifest")


def test_mixing_weights_have_a_picture_an_edge_and_the_chosen_stand_out(make: Make) -> None:
    run = run_data(make())
    cell = run.full["shared"]
    found = checked(page([run], []))
    pictures = [attrs["aria-label"] for attrs in found.having("svg", class_="small")]
    assert [label.split(",")[0] for label in pictures] == edge_names(cell)
    first, last = cell.edges[0].candidates[0], 1 / len(cell.edges[0].candidates) + 0.3
    assert all(f"at the end: {first} {last:.3f}" in label for label in pictures)
    assert run.genotype is not None
    assert len(found.having("strong")) == len(run.genotype.cell("shared").edges)


def test_weights_without_names_are_numbered(make: Make) -> None:
    weights = {"elsewhere": [[0.25, 0.75]], "shared.edges": [[0.5] * 3], "layers": [[0.5, 0.5]] * 4, "odd": "text", "empty": []}
    found = checked(page([run_data(make(search=[{"weights": weights}] * 2))], []))
    text = found.text
    for said in (
        "row 1",
        "candidate 2",
        "edges of the shared cell",
        "to layer 2 from scale 3",
        "keeps the scale",
        "path of layers",
    ):
        assert said in text, said
    assert "odd" not in text


def test_a_run_that_has_only_begun(make: Make, tmp_path: Path) -> None:
    run = make(search=[], train=[], result={name: None for name in RESULT if name not in ("strategy", "space", "dataset")})
    for name in ("genotype.json", "metrics.jsonl"):
        (run / name).unlink()
    found = read(nastk.report(run, tmp_path / "early.html"))
    assert "Interrupted before its first stage: there is no test accuracy yet." in found.text
    assert headings(found)[1:] == ["Result", "To repeat it", "Checklist of good practice"]
    (run / "result.json").unlink()
    assert "darts in toy on synthetic" in read(nastk.report(run, tmp_path / "early.html")).text


def test_validation_of_the_training_is_beside_it(make: Make) -> None:
    train = [{"loss": 2.0, "accuracy": 0.5, "valid_loss": 1.0, "valid_accuracy": 0.625}] * 2
    run = run_data(make(train=train, result={"test": {"accuracy": 0.5, "n": 32, "ci95": [0.4, 0.6], "epoch": 1}}))
    found = checked(page([run], []))
    (told,) = [
        a["aria-label"] for a in found.having("svg", class_="plot") if a["aria-label"].startswith("Accuracy of the training")
    ]
    assert "validation from 62.50 % to 62.50 %" in told
    assert "95 % interval 40.00 % to 60.00 %, by the number of images (32); the network after epoch 1" in found.text


def test_a_genotype_that_was_given_is_no_search(make: Make) -> None:
    run = run_data(make(search=[], result={"strategy": None, "search": None}))
    assert headings(checked(page([run], [])))[0] == "a given genotype in toy on synthetic"


def test_a_search_with_several_objectives_has_its_front(make: Make) -> None:
    front = [{"genotype": "aaaa", "accuracy": 0.9, "parameters": 900}, {"genotype": "bbbb", "accuracy": 0.8, "parameters": 100}]
    found = checked(page([run_data(make(search=[{"front": front, "best_accuracy": 0.9, "hypervolume": 0.5}]))], []))
    assert "Front of the search: accuracy and parameters" in found.said
    assert len(found.having("circle", class_="best")) == 2
    assert {"aaaa", "bbbb", "best so far"} <= set(found.said)


def test_latency_is_that_of_the_found_genotype(make: Make) -> None:
    run = run_data(make(trials=TRIALS))
    assert "not measured" in checked(page([run], [])).text
    found = run_data(make("found", trials=TRIALS, result={"genotype": {"digest": run.trials[1].digest}}))
    assert "4.5 ms" in checked(page([found], [])).said


def test_several_runs_stand_beside_each_other(make: Make, tmp_path: Path) -> None:
    def worth(accuracy: float, parameters: int) -> dict[str, Any]:
        return {"test": {"accuracy": accuracy, "n": 32, "ci95": None}, "parameters": parameters}

    paths = [make(f"seed{seed}", seed=seed, result=worth(0.8 + 0.1 * seed, 1000)) for seed in (0, 1)]
    paths.append(make("wide", settings={"train": {"epochs": 20}}, result=worth(0.95, 9000)))
    out = nastk.report(paths, tmp_path / "all.html")
    found = read(out)
    assert headings(found)[:2] == ["3 runs", "All runs"]
    assert "85 ± 7.071" in found.said, "mean and deviation of two seeds"
    assert "test accuracy 85.00 % ± 7.07 points over 2 seeds" in found.text
    assert f"The most accurate of 3 tested runs is {paths[2]}, 95.00 %." in found.text
    assert "Line: the front, 2 of 3 points that no other one beats in both." in found.text
    assert len(found.having("details", class_="run")) == 3
    assert "Seeds: 0, 1; 0." in found.text, "a setting with one seed is told"


def states(found: Page) -> list[str]:
    return [attrs["class"].partition(" ")[2] for attrs in found.having("span", class_="state")]


def test_the_checklist_says_what_it_knows_and_what_it_does_not(make: Make) -> None:
    one = checked(page([run_data(make())], []))
    assert len(states(one)) == sum(len([*items]) for items in GROUPS.values()) == 14
    assert states(one).count("not-compared") == 4
    assert states(one).count("yours-to-say") == 2
    assert "Seeds: 0. One run of a setting says nothing about its spread." in one.text
    seeds = [run_data(make(f"s{seed}", seed=seed)) for seed in (0, 1)]
    random = [
        run_data(make(f"r{s}", seed=s, settings={"strategy": "random-search"}, result={"strategy": "random-search"}))
        for s in (0, 1)
    ]
    both = checked(page([*seeds, *random], []))
    for said in (
        "random-search is among the strategies.",
        "Seeds: 0, 1. Each setting has 2 or more.",
        "Data, splits, space and training are the same everywhere.",
        "Machine, versions and code are the same",
    ):
        assert said in both.text, said
    other = run_data(make("other", settings={"train": {"epochs": 3}}, manifest={"code": {"commit": "ffff", "changed": True}}))
    mixed = checked(page([*seeds, other], [])).text
    assert "Not the same everywhere: train." in mixed
    assert "Different between the runs: code." in mixed
    assert "with changes that are in no commit" in mixed


def test_text_of_a_run_stays_text(make: Make) -> None:
    script = HOSTILE[0]
    config = {**run_data(make("plain")).config, "space": {"name": script}, "strategy": {"name": "x", "note": HOSTILE[2]}}
    run = make(
        "hostile<b>&",
        manifest={"command": script, "versions": {script: HOSTILE[1]}, "machine": {script: script}, "config": config},
        result={"strategy": script, "dataset": HOSTILE[2], "space": HOSTILE[4], "energy_nj": {"profile": script, "value": 1.0}},
        search=[{"weights": {script: [[0.5, 0.5]]}, "front": [{"genotype": script, HOSTILE[2]: 1.0, "accuracy": 0.5}] * 2}],
        trials=[{"accuracy": 0.5, script: 1.0, "failure": None}],
        notices=HOSTILE,
    )
    text = nastk.report(run).read_text(encoding="utf-8")
    found = checked(text)
    assert len(found.having("script")) == 1
    assert not found.having("img")
    assert "alert" not in "".join(f"{name}{attrs}" for name, attrs in found.elements if name not in ("g", "svg", "div", "meta"))
    assert text.count("<script>") == 1
    assert script in found.text


@given(st.lists(ANY, min_size=5, max_size=5))
@settings(deadline=None, max_examples=25)
def test_any_text_anywhere_leaves_a_whole_page(texts: list[str]) -> None:
    a, b, c, d, e = texts
    run = RunData(
        path=Path("/somewhere") / (a.replace("\0", "") or "x"),
        state="done",
        manifest={"command": b, "versions": {c: d}, "machine": {a: e}, "config": {"strategy": {"name": d}, c: e, "seed": 0}},
        result={**RESULT, "strategy": a, "space": b, "dataset": c, "genotype": {"digest": d}},
        genotype=None,
        timeline=run_timeline(a, b, c, d),
        trials=(),
        lost=0,
        full={},
    )
    found = checked(page([run, run], []))
    assert len(found.having("script")) == len(found.having("style")) == 1


def run_timeline(a: str, b: str, c: str, d: str) -> Timeline:
    figures = {"weights": {a: [[0.5, 0.5]]}, "loss": 1.0, "front": [{"genotype": b, c: 1.0, "accuracy": 0.5}] * 2}
    entries = [
        {"event": "stage_started", "stage": "search", "unit": d, "total": 2, "done": 0, "time": 1.0},
        *({"event": "step", "stage": "search", "step": i, "figures": figures, "time": 2.0} for i in (1, 2)),
        {"event": "notice", "text": a},
    ]
    return timeline(entries)


def test_the_policy_allows_the_one_script_and_the_one_style(make: Make) -> None:
    text = page([run_data(make())], [])
    (policy,) = [attrs["content"] for attrs in Page(text).having("meta") if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")
    for name in ("style", "script"):
        (inside,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        checksum = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{checksum}'" in policy
    assert "unsafe" not in policy


def test_refusals(make: Make, tmp_path: Path) -> None:
    run = make()
    with pytest.raises(NastkError, match="name their directories"):
        nastk.report([])
    with pytest.raises(NastkError, match=r"ends in .html, not .*result.json"):
        nastk.report(run, run / "result.json")
    with pytest.raises(OutputError, match="There is no directory"):
        nastk.report([run, tmp_path / "absent"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        nastk.report(run, tmp_path / "file" / "report.html")
    assert not (run / "report.html").exists()
