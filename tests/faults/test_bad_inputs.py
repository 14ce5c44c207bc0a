"""Made-up input of every kind: one sentence and exit code 2, never a traceback, nothing written."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nastk import registry
from nastk.cli.app import app
from nastk.core.errors import NastkError
from nastk.core.run import export, verify
from nastk.core.run import run as stages
from nastk.core.run.seal import sealed
from nastk.testing import build_space

GENOTYPE = json.loads(build_space("toy").full().to_json())
NAMES = [
    "strategy", "space", "dataset", "model", "proxy", "train", "budget", "seed", "device", "name", "epochs",
    "channels", "neuron", "choices", "darts", "random-search", "toy", "lif", "plif", "cbam", "executor", "processes",
    "benchmark", "nats-bench", "path", "lr", "operations", "relaxation", "guard", "steps", "minutes", "cells",
    "time_steps", "reporters", "prefer", "sha256",
]  # fmt: skip
WORDS = st.sampled_from(NAMES)
PATHS = st.sampled_from(["../../etc/passwd", "/dev/null", "a/b", "..", "~", "-", "\x00", "é" * 5, "*"])
TEXT = WORDS | st.text(max_size=8) | PATHS
SCALAR = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
TREE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
TABLE = st.dictionaries(TEXT, TREE, min_size=1, max_size=5)


def without_none(tree: Any) -> Any:
    """What TOML can say."""
    if isinstance(tree, dict):
        return {key: without_none(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_none(value) for value in tree if value is not None]
    return max(-(2**63), min(2**63 - 1, tree)) if isinstance(tree, int) else tree


TOML = TABLE.map(lambda tree: tomli_w.dumps(without_none(tree)).encode(errors="replace"))
BYTES = st.binary(max_size=60) | TOML


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A genotype file with a value replaced somewhere."""
    document = json.loads(json.dumps(GENOTYPE))
    if draw(st.booleans()):
        document.pop("digest")
    here: Any = document
    while True:
        keys = list(here) if isinstance(here, dict) else range(len(here))
        if not keys:
            break
        key = draw(st.sampled_from(list(keys)))
        if not isinstance(here[key], (dict, list)) or draw(st.integers(0, 2)) == 0:
            here[key] = draw(TREE)
            break
        here = here[key]
    return json.dumps(document).encode()


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Input that happens to be good is refused, too, before anything is trained."""

    def refuse(*args: Any) -> Any:
        del args
        raise NastkError("this one is good")

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder, chdir(folder):
        for module, name in ((stages, "prepare"), (stages, "Run"), (export, "Run"), (verify, "prepare")):
            patch.setattr(module, name, refuse)
        yield


def refused(*words: str) -> None:
    """The command says one thing on standard error, ends with 2, and leaves the folder as it is."""
    before = sorted(Path().rglob("*"))
    shown = CliRunner().invoke(app, list(words))
    command = shlex.join(words)
    assert shown.exit_code == 2, (command, shown.exit_code, shown.output, shown.exception)
    assert shown.exception is None or isinstance(shown.exception, SystemExit), command
    assert "Traceback" not in shown.output, command
    assert shown.stderr.strip(), command
    assert sorted(Path().rglob("*")) == before, command


def every_kind(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["run file", "genotype", "run directory", "setting", "flag", "plug-in"]))
    with nothing_runs():
        if kind == "run file":
            Path("run.toml").write_bytes(data.draw(BYTES))
            refused("run", "run.toml")
        elif kind == "genotype":
            Path("genotype.json").write_bytes(data.draw(changed() | BYTES))
            refused("train", "genotype.json")
        elif kind == "run directory":
            Path("run").mkdir()
            tree = data.draw(TABLE)
            whole = tomli_w.dumps(without_none(sealed({"schema": data.draw(st.integers(0, 3)), "config": without_none(tree)})))
            Path("run/manifest.toml").write_bytes(data.draw(BYTES | st.just(whole.encode(errors="replace"))))
            Path("run/result.json").write_bytes(data.draw(BYTES))
            refused(data.draw(st.sampled_from(["evaluate", "verify", "export"])), "run")
        elif kind == "setting":
            refused("run", "--set", f"{data.draw(TEXT)}.{data.draw(TEXT)}={data.draw(TEXT)}")
        elif kind == "flag":
            flags = ["--strategy", "--space", "--dataset", "--neuron", "--attention", "--device", "--seed"]
            refused("search", data.draw(st.sampled_from(flags)), data.draw(TEXT))
        else:
            known = {entry.name for entry in registry().entries()}
            refused("describe", data.draw(TEXT), data.draw(TEXT.filter(lambda text: text not in known)))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_bad_input(data: st.DataObject) -> None:
    every_kind(data)


@pytest.mark.slow
@given(st.data())
@settings(deadline=None, max_examples=10_000)
def test_ten_thousand_bad_inputs(data: st.DataObject) -> None:
    every_kind(data)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_checkpoint_from_elsewhere_executes_nothing(tmp_path: Path) -> None:
    """A pickle that is named as a checkpoint, and a link out of the directory in a checkpoint's place."""
    import pickle

    from nastk.core.run.store import RunDirectory

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.write_text, (tmp_path / "executed", "yes")

    store = RunDirectory(tmp_path / "run")
    store.save("train", 1, {"epoch": 1})
    (tmp_path / "run" / "checkpoints" / "train-000001.safetensors").write_bytes(pickle.dumps(Evil()))
    assert store.load("train") is None
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (tmp_path / "run" / "checkpoints" / "train-000002.json").symlink_to(secret)
    assert store.load("train") is None
    store.save("train", 2, {"epoch": 2})
    assert secret.read_text() == "{}", "a link is replaced, not written through"
    assert store.load("train") == {"epoch": 2}
    assert not (tmp_path / "executed").exists()
