import io
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nastk.core.events import Notice, Progress, RunDone, RunStarted, StageDone, StageStarted, StepDone
from nastk.core.registry import registry
from nastk.core.types import Kind
from nastk.plugins.reporters.closing import rows
from nastk.plugins.reporters.console import Console, Screen, bar
from nastk.plugins.reporters.figures import duration, humanise, short
from nastk.plugins.reporters.pace import Pace

RUN = Path("runs/first")
CONFIG = {"strategy": {"name": "ma-darts", "epochs": 3}, "space": "spiking-cells", "dataset": "digits", "seed": 7}
RESULT = {
    "status": "done",
    "neuron": "plif",
    "attention": "eca",
    "time_steps": 2,
    "genotype": {"digest": "a1b2c3", "file": "genotype.json"},
    "search": {"seconds": 83.0, "steps": 3},
    "train": {"seconds": 3700, "epochs": 30},
    "test": {"accuracy": 0.9694, "n": 360, "ci95": [0.9463, 0.9828]},
    "parameters": 110234,
    "nos": {"validation": {"total": 9e3, "cells": []}, "train": None, "test": {"total": 11234.4, "cells": [1.0]}},
    "firing_rate": 0.123,
    "macs": 512345.0,
    "acs": 3.4e6,
    "sops": 3.3e6,
    "energy_nj": {"profile": "45nm", "value": 5432.1},
}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def shown(events, live, width=120, directory=RUN):
    """What is written for events, each with the time at which it comes."""
    clock = Clock()
    screen = Screen(file=io.StringIO(), force_terminal=live, width=width, height=30, legacy_windows=False, _environ={})
    reporter = Console(directory, screen, clock)
    for now, event in events:
        clock.now = now
        reporter.hear(event)
    reporter.close()
    return screen.file.getvalue()


def bare(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def search(figures=({"loss": 0.5},) * 3, start=0):
    yield 0, StageStarted("search", start + len(figures), "epochs", start)
    for i, each in enumerate(figures):
        yield 10 * i + 5, Progress("search", 0.5)
        yield 10 * (i + 1), StepDone("search", start + i + 1, each)
    yield 10 * len(figures), StageDone("search", 10.0 * len(figures))


def test_a_log_has_one_line_an_event():
    started = [(0, RunStarted(RUN, CONFIG, False)), (0, Notice("Mind the step."))]
    text = shown([*started, *search()], live=False, width=40)
    assert text.splitlines() == [
        "nastk ma-darts in spiking-cells on digits, seed 7, in runs/first",
        "Mind the step.",
        "search: 1/3 epochs  0:10, about 0:20 left  loss 0.500",
        "search: 2/3 epochs  0:20, about 0:10 left  loss 0.500",
        "search: 3/3 epochs  0:30  loss 0.500",
        "search done, 3/3 epochs  0:30  loss 0.500",
    ]


def test_a_resumed_stage_counts_what_is_done_now():
    text = shown([(0, RunStarted(RUN, CONFIG, True)), *search(({}, {}), start=8)], live=False)
    assert "resumed in runs/first" in text
    assert "9/10 epochs  0:10, about 0:10 left" in text


def test_live_has_a_bar_and_leaves_a_finished_line():
    text = shown([*search(), (30, Notice("A notice."))], live=True)
    assert "━" in text
    assert "\x1b[33mA notice." in text  # yellow
    assert "search: 1/3" not in text
    assert bare(text).splitlines()[-2:] == ["search done, 3/3 epochs  0:30  loss 0.500", "A notice."]
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor comes back


def test_a_stage_that_did_not_end_says_so():
    events = list(search())[:3]
    for live in (True, False):
        assert bare(shown(events, live)).splitlines()[-1] == "search stopped, 1/3 epochs  0:10  loss 0.500"


def test_a_stage_of_one_unit_needs_no_count():
    text = shown([(0, StageStarted("test", 1, "passes")), (2, StageDone("test", 2.0))], live=False)
    assert text == "test done  0:02\n"


@pytest.mark.parametrize("live", [True, False])
def test_a_reader_that_has_gone_does_not_end_the_run(live):
    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    reporter = Console(RUN, Screen(file=Gone(), force_terminal=live))
    for _, event in [*search(), (30, RunDone(RUN, RESULT))]:
        reporter.hear(event)
    reporter.close()


def test_no_terminal_no_escapes():
    text = shown([*search(), (30, RunDone(RUN, RESULT))], live=False)
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_bar_fits(width):
    figures = {"loss": 0.412, "accuracy": 0.873, "entropy": 1.3, "skip_share": 0.12, "nos": {"total": 110234.0}}
    pace = Pace.of(StageStarted("search", 50, "epochs"), 0.0).stepped(figures, 30.0).progressed(0.3, 40.0)
    screen = Screen(file=io.StringIO(), width=width)
    screen.print(bar(pace, 40.0, width))
    lines = screen.file.getvalue().splitlines()
    assert len(lines) == (1 if width >= 140 else 2)
    assert all(len(line) <= width for line in lines)
    for part in ("search", "1/50 epochs", "0:40", "about 24:58 left", "loss 0.412", "accuracy 87.3 %", "entropy 1.30"):
        assert part in "\n".join(lines)
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_closing_table(width, tmp_path):
    for name in ("genotype.json", "metrics.jsonl", "cell_normal.png"):
        (tmp_path / name).touch()
    text = shown([(0, RunDone(tmp_path, RESULT))], live=False, width=width, directory=tmp_path)
    assert all(len(line) <= width for line in text.splitlines())
    table = " ".join(text.split()) if width == 100 else " ".join(f"{k} {v}" for k, v in rows(tmp_path, RESULT))
    for part in (
        "test accuracy 96.94 % of 360 (95 % CI 94.63 to 98.28)",
        "parameters 110.2 K",
        "plif neurons, eca attention",
        "time steps T 2",
        "NoS (test) 11.2 K spikes an image",
        "firing rate 12.3 %",
        "512.3 K / 3.4 M / 3.3 M",
        "5.43 uJ an image (profile 45nm)",
        "search 1:23 (3 steps)",
        "training 1:01:40 (30 epochs)",
        "genotype a1b2c3",
        "genotype.json",
        "metrics.jsonl",
        "cell_*.png",
    ):
        assert part in table
    assert "report.html" not in table
    assert tmp_path.name in "".join(text.split())


def test_a_network_without_spikes_has_no_rows_for_them():
    result = {**RESULT, "nos": None, "firing_rate": None, "acs": None, "sops": None, "energy_nj": None, "test": {"accuracy": 0.5}}
    names = dict(rows(RUN, result))
    assert names["test accuracy"] == "50.00 %"
    assert names["MACs / ACs / SOPs"] == "512.3 K / - / -"
    assert not {"NoS (test)", "firing rate", "energy"} & set(names)


def test_markup_in_texts_is_text():
    text = shown([(0, Notice("[red]x[/blue] [1]")), (0, RunDone(RUN, {"status": "[/x]"}))], live=False)
    assert "[red]x[/blue] [1]" in text
    assert "Result ([/x])" in text


texts = st.text(max_size=10)
floats = st.floats() | st.floats(0, 1)
scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | floats | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
stages = st.sampled_from(["search", "train", "[/b]"])
named = st.dictionaries(st.sampled_from(["loss", "accuracy", "nos", "lr"]) | texts, values, max_size=4)
results = st.dictionaries(
    st.sampled_from(list(RESULT)), values | st.dictionaries(st.sampled_from(["total", "n", "ci95"]), values)
)
partial = st.lists(st.sampled_from(list(RESULT))).map(lambda keys: {k: RESULT[k] for k in keys})
counts = st.integers(-2, 1000)
all_events = st.one_of(
    st.builds(RunStarted, st.just(RUN), st.fixed_dictionaries({}, optional=dict.fromkeys(CONFIG, values)), st.booleans()),
    st.builds(StageStarted, stages, counts, texts, counts),
    st.builds(Progress, stages, floats),
    st.builds(StepDone, stages, counts, named),
    st.builds(StageDone, stages, floats),
    st.builds(Notice, texts),
    st.builds(RunDone, st.just(RUN), results | partial),
)


@given(st.lists(st.tuples(st.floats(0, 1e6), all_events), max_size=10), st.booleans(), st.sampled_from([20, 60, 160]))
@settings(deadline=None, max_examples=80)
def test_no_events_break_it(events, live, width):
    shown(sorted(events, key=lambda e: e[0]), live, width)


@given(st.integers(1, 50), st.integers(0, 50), st.floats(0.1, 100), st.data())
@settings(deadline=None, max_examples=100)
def test_the_estimate_is_exact_for_a_steady_pace(total, before, each, data):
    pace = Pace.of(StageStarted("s", before + total, "epoch", before), 5.0)
    steps = data.draw(st.integers(0, total - 1))
    fraction = data.draw(st.floats(0, 1))
    for i in range(steps):
        pace = pace.stepped({}, 5.0 + each * (i + 1))
    heard = 5.0 + each * (steps + fraction)
    pace = pace.progressed(fraction, heard)
    left = pace.left(heard)
    if heard - 5.0 < 2 or steps + fraction == 0:
        assert left is None
    else:
        assert left == pytest.approx(each * (total - steps - fraction), abs=1e-6)


@given(st.integers(2, 20), st.floats(2.1, 100), st.floats(0, 1000))
@settings(deadline=None, max_examples=100)
def test_silence_never_promises_units_that_have_not_begun(total, each, silence):
    pace = Pace.of(StageStarted("s", total, "epoch"), 0.0).stepped({}, each)
    left = pace.left(each + silence)
    if total == 2 and silence >= each:
        assert left is None  # the last unit is late: nobody knows
    else:
        assert each * (total - 2) <= left <= each * (total - 1)


@pytest.mark.parametrize(("fraction", "share"), [(0.5, 0.5), (2.0, 1.0), (-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 1.0)])
def test_fractions_stay_within_their_unit(fraction, share):
    pace = Pace.of(StageStarted("s", 4, "epochs", 1), 0.0).progressed(fraction, 1.0)
    assert pace.fraction == share
    assert pace.share == (1 + share) / 4


def test_words_and_numbers():
    numbers = [0, 7, 999, 12.0, 110234, 999_949, 999_951, 3.4e6, -1500, 0.4119, 2.1e-5, 0.00049999, 999.7, 1e18, float("nan")]
    assert [humanise(n) for n in numbers] == [
        *["0", "7", "999", "12.0", "110.2 K", "999.9 K", "1.0 M", "3.4 M", "-1.5 K"],
        *["0.412", "2.1e-05", "5.0e-04", "1.0 K", "1.0e+18", "nan"],
    ]
    assert [duration(s) for s in (0.4, 59.6, 83, 7384, 90061, float("inf"))] == [
        "0:00",
        "1:00",
        "1:23",
        "2:03:04",
        "1 d 1:01:01",
        "-:--",
    ]
    figures = {
        "zeta": 3,
        "cells": [1, 2],
        "learning_rate": 0.1,
        "nos": {"total": torch.tensor(110234.0), "cells": [1.0]},
        "skip_share": 0.25,
        "accuracy": 0.5,
        "best": None,
        "last": 1,
        "too_many": 2,
    }
    assert short(figures) == [
        *[("accuracy", "50.0 %"), ("skip share", "25.0 %"), ("NoS", "110.2 K"), ("zeta", "3"), ("learning rate", "0.100")],
    ]


def test_is_found_by_name_and_writes_to_standard_error(capsys):
    Console_ = registry().load(Kind.REPORTER, "console")
    assert Console_ is Console
    reporter = Console_(RUN)
    reporter.hear(Notice("heard"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "heard\n")
