"""``nastk bench`` from the command line: its tables, its files, its refusals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nastk.cli.app import app
from nastk.cli.benching import Left

SMALL = ["bench", "nats-bench", "--strategy", "regularized-evolution", "--budget", "12", "--seeds", "3", "--workers", "1"]


def printed(*words: str, columns: int = 140) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("nastk: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_table_and_all_files(tmp_path: Path) -> None:
    text = printed(*SMALL, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "new" / "b.json"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bench.json", "regret.png", "regret.svg"]
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert json.loads((tmp_path / "new" / "b.json").read_text()) == document
    assert "nats-bench, cifar10: 3 seeds of 12 evaluations; test accuracy in percent" in text
    assert "best of the table: 94.37" in text
    assert "Student" in text
    assert "Mann-Whitney" in text
    for plain in document["strategies"]:
        (row,) = [line for line in text.splitlines() if line.startswith(plain["strategy"])]
        value = plain["value"]
        for share in (value["mean"], value["deviation"], value["low"], value["high"], value["median"], value["best"]):
            assert f"{100 * share:.2f}" in row
        assert f"{100 * (0.943733 - value['mean']):.2f}" in row
    assert f"{document['strategies'][0]['against_baseline']['holm']:.2g}" in text


@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_terminal_loses_nothing(columns: int) -> None:
    wide, narrow = printed(*SMALL), printed(*SMALL, columns=columns)
    table = narrow[narrow.index("strategy ") : narrow.index("CI: ")]
    assert max(map(len, table.splitlines())) <= columns
    (row,) = [line for line in wide.splitlines() if line.startswith("regularized-evolution")]
    assert not Counter(row.replace(" ", "")) - Counter(table), "something is cut off"
    if columns == 80:
        for word in row.split():
            assert word in table  # no number is broken that has room


def test_one_strategy_and_one_seed_show_no_empty_columns() -> None:
    text = printed("bench", "nats-bench", "--strategy", "random-search", "--budget", "5", "--seeds", "1", "--workers", "1")
    assert "One seed: no interval, no test." in text
    (headings,) = [line.split() for line in text.splitlines() if line.startswith("strategy ")]
    assert headings == ["strategy", "n", "mean", "±", "sd", "median", "best", "regret"]


def test_estimators_are_a_table_of_their_own() -> None:
    text = printed("bench", "nats-bench", "--estimators", "parameters,macs", "--cells", "15", "--workers", "1")
    assert "strategy" not in text
    for name in ("parameters", "macs"):
        (row,) = [line for line in text.splitlines() if line.startswith(name)]
        assert row.split()[1] == "15"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bench", "nats-bench"], "Name what to compare"),
        (["bench", "nats-bench", "--strategy", "regularised-evolution"], "Did you mean 'regularized-evolution'"),
        (["bench", "nats", "--strategy", "random-search"], "No benchmark named 'nats'"),
        ([*SMALL[:-2], "--budget", "0"], "--budget must be above 0"),
        (["bench", "nats-bench", "--strategy", "ma-darts"], "no data to train on"),
        ([*SMALL, "--objective", "loss"], "no objective 'loss'"),
        ([*SMALL, "--plot", "curve.pdf"], "must end in .png or .svg"),
        (["bench", "nats-bench", "--estimators", "macs", "--plot", "curve.png"], "name one with --strategy"),
        ([*SMALL, "--set", "benchmark.path=no/such.npz"], "no/such.npz"),
        ([*SMALL, "--set", "strategy.size=3"], "no strategy here has a setting 'size'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(words: list[str], said: str) -> None:
    assert said in refused(*words)


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    assert "not empty" in refused(*SMALL, "--out", str(full))
    assert "exists already" in refused(*SMALL, "--json", str(full / "thesis.txt"))
    assert "cannot be written" in refused(*SMALL, "--json", str(full / "thesis.txt" / "b.json"))
    assert (full / "thesis.txt").read_text() == "years of work"


def test_the_time_left_is_by_the_pace_since_the_first_search() -> None:
    clock = [0.0]
    left = Left(lambda: clock[0])
    assert left.told(0, 100) == "starting"
    clock[0] = 30.0  # processes took half a minute to start
    assert left.told(10, 100) == ""
    clock[0] = 35.0
    assert left.told(20, 100) == "about 0:40 left"
    clock[0] = 40.0
    assert left.told(60, 100) == "about 0:08 left"
    assert left.told(5, 50) == ""  # the estimators' turn: another total, another pace
