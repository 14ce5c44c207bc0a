"""``import nastk``, ``--help`` and ``plugins`` answer without importing torch, which alone would take seconds."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nastk

HEAVY = {"torch", "torchvision", "matplotlib", "scipy", "spikingjelly", "snntorch", "hypothesis", "pytest"}
RUN_AS_MODULE = "import runpy, sys; sys.argv = ['nastk', *sys.argv[1:]]; runpy.run_module('nastk', run_name='__main__')"


def ask(code: str, *arguments: str) -> tuple[str, set[str]]:
    """What a fresh Python prints for this code, and the top-level packages that it imported."""
    command = [sys.executable, "-X", "importtime", "-c", code, *arguments]
    bundled_only = os.environ | {"NASTK_PLUGINS": "", "COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=bundled_only)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.stdout, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "code", ["import nastk", "import nastk; dir(nastk); nastk.mark, nastk.Genotype, nastk.RunConfig, nastk.registry"]
)
def test_importing_nastk_is_light(code: str) -> None:
    _, packages = ask(code)
    assert "nastk" in packages
    assert not packages & HEAVY


def test_help_is_light() -> None:
    answer, packages = ask(RUN_AS_MODULE, "--help")
    assert not packages & HEAVY
    assert "run" in answer
    assert "plugins" in answer


def test_listing_plugins_is_light_and_complete() -> None:
    answer, packages = ask(RUN_AS_MODULE, "plugins")
    assert not packages & HEAVY
    for name in ("plif", "cbam", "ma-darts", "digits", "spiking-cells"):
        assert name in answer


def test_listing_through_the_registry_is_light() -> None:
    names = "from nastk import registry; print(*(e.name for e in registry().entries())); assert not registry().broken"
    answer, packages = ask(names)
    assert not packages & HEAVY
    one_a_kind = {"lif", "atan", "none", "conv_3x3", "toy", "darts", "random-search", "inline", "jsonl", "cifar10"}
    assert one_a_kind <= set(answer.split())


def test_the_face_has_every_name_it_promises() -> None:
    ask("import nastk\nfor name in nastk.__all__: getattr(nastk, name)\nassert set(nastk.__all__) == set(dir(nastk))")


def test_heavy_packages_would_be_seen() -> None:
    _, packages = ask("import nastk; nastk.Neuron")
    assert "torch" in packages


def test_a_type_checker_sees_the_face_that_is_loaded() -> None:
    tree = ast.parse(Path(nastk.__file__).read_text(encoding="utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {a.asname: f"{n.module}.{a.name}" for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == {name: place.replace(":", ".") for name, place in nastk._FACE.items()}
