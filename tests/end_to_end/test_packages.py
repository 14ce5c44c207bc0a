"""Third-party packages: built as wheels, installed beside a wheel of nastk in a clean environment, checked and used in runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import nastk
from nastk import Kind

ROOT = Path(__file__).parents[2]
EXAMPLES = {"nastk-gated-attention": ("attention", "gated"), "nastk-bandit-strategy": ("strategy", "bandit")}
MADE = {kind: f"my-{kind.value}" if kind is not Kind.OPERATION else "my_operation" for kind in Kind}
TINY = {
    "space": "toy",
    "dataset": {"name": "synthetic", "size": 8, "train_images": 160, "test_images": 32},
    "strategy": {"name": "random-search", "trials": 2, "epochs": 1},
    "model": {"channels": 2, "cells": 1},
    "proxy": {"channels": 0, "cells": 0},
    "train": {"batch": 16, "epochs": 1},
}

CHECK = """
import json, sys
import nastk
wanted = json.loads(sys.argv[1])
print(json.dumps([[k, n, v.law, v.outcome, v.detail] for k, n in wanted for v in nastk.check(k, n)]))
"""


def done(*command: str | Path, cwd: Path) -> str:
    finished = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def copied(source: Path, target: Path) -> Path:
    """A copy without the leftovers of earlier builds."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with nastk, the two examples and a package of every kind, all from wheels."""
    work = tmp_path_factory.mktemp("packages")
    sources = [work / "nastk"]
    sources[0].mkdir()
    copied(ROOT / "nastk", sources[0] / "nastk")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources[0] / name)
    sources += [copied(ROOT / "examples" / name, work / name) for name in EXAMPLES]
    sources += [nastk.new(kind.value, name, work / f"made-{name}") for kind, name in MADE.items()]
    wheels = work / "wheels"
    done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, *sources, cwd=work)
    built = sorted(wheels.glob("*.whl"))
    assert len(built) == len(sources)

    env = work / "env"
    done(sys.executable, "-m", "venv", "--without-pip", env, cwd=work)
    python = env / "bin" / "python"
    install = ["install", "-q", "--no-deps", "--no-index", *built]
    done(sys.executable, "-m", "pip", "--python", python, *install, cwd=work)
    # What nastk depends on is borrowed from this environment; an editable nastk is not, for .pth files do not nest.
    site = Path(done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=work).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return env / "bin"


def run(env: Path, where: Path, out: str, document: dict[str, Any]) -> dict[str, Any]:
    import tomli_w

    (where / f"{out}.toml").write_text(tomli_w.dumps(TINY | document))
    result: dict[str, Any] = json.loads(done(env / "nastk", "run", f"{out}.toml", "--out", out, "-q", cwd=where))
    assert result["status"] == "done"
    return result


def test_they_are_listed_with_their_distribution(env: Path, tmp_path: Path) -> None:
    assert Path(done(env / "python", "-c", "import nastk; print(nastk.__file__)", cwd=tmp_path)).is_relative_to(env.parent)
    listed = json.loads(done(env / "nastk", "plugins", "--json", cwd=tmp_path))
    assert not listed["broken"]
    found = {(p["kind"], p["name"]): (p["distribution"], p["version"]) for p in listed["plugins"]}
    for distribution, plugin in EXAMPLES.items():
        assert found[plugin] == (distribution, "0.1.0")
    for kind, name in MADE.items():
        assert found[kind.value, name] == (f"nastk-{name.replace('_', '-')}", "0.1.0")


def test_every_one_keeps_the_laws_of_its_kind(env: Path, tmp_path: Path) -> None:
    wanted = [*EXAMPLES.values(), *((kind.value, name) for kind, name in MADE.items())]
    verdicts = json.loads(done(env / "python", "-c", CHECK, json.dumps(wanted), cwd=tmp_path))
    assert {(kind, name) for kind, name, *_ in verdicts} == set(wanted)
    assert not [verdict for verdict in verdicts if verdict[3] == "fails"]
    for plugin in wanted:
        assert any(outcome == "holds" for kind, name, _, outcome, _ in verdicts if (kind, name) == plugin), plugin


def test_the_command_line_checks_one_too(env: Path, tmp_path: Path) -> None:
    told = done(env / "nastk", "check", "surrogate", MADE[Kind.SURROGATE], cwd=tmp_path)
    assert "holds" in told
    assert "fails" not in told


def test_the_parts_of_a_network_are_used_in_a_run_and_exported(env: Path, tmp_path: Path) -> None:
    result = run(
        env,
        tmp_path,
        "parts",
        {
            "space": {"name": "toy", "operations": ["none", "skip_connect", MADE[Kind.OPERATION]]},
            "dataset": MADE[Kind.DATASET],
            "task": MADE[Kind.TASK],
            "executor": MADE[Kind.EXECUTOR],
            "reporters": [MADE[Kind.REPORTER]],
            "model": {
                **TINY["model"],  # type: ignore[dict-item]
                "neuron": {"name": MADE[Kind.NEURON], "surrogate": MADE[Kind.SURROGATE]},
                "attention": MADE[Kind.ATTENTION],
            },
        },
    )
    assert (result["neuron"], result["attention"]) == (MADE[Kind.NEURON], MADE[Kind.ATTENTION])
    file = Path(done(env / "nastk", "export", "parts", "--to", MADE[Kind.EXPORTER], cwd=tmp_path).strip())
    assert (tmp_path / file).stat().st_size > 0


def test_a_space_a_strategy_and_an_estimator_are_used_in_runs(env: Path, tmp_path: Path) -> None:
    found = run(env, tmp_path, "search", {"space": MADE[Kind.SPACE], "strategy": MADE[Kind.STRATEGY], "budget": {"steps": 2}})
    assert (found["space"], found["strategy"]) == (MADE[Kind.SPACE], MADE[Kind.STRATEGY])
    darts = {"name": "darts", "epochs": 1, "warmup": 0, "penalty": MADE[Kind.ESTIMATOR], "penalty_weight": 0.01}
    assert run(env, tmp_path, "penalty", {"strategy": darts})["test"]["n"] == 32


def test_a_benchmark_is_searched(env: Path, tmp_path: Path) -> None:
    wanted = {key: value for key, value in TINY.items() if key not in ("space", "dataset", "model", "proxy")}
    (tmp_path / "b.toml").write_text(f'benchmark = "{MADE[Kind.BENCHMARK]}"\nstrategy = "random-search"\n')
    assert wanted
    result = json.loads(done(env / "nastk", "run", "b.toml", "--out", "b", "-q", cwd=tmp_path))
    assert (result["status"], result["benchmark"], result["dataset"]) == ("done", MADE[Kind.BENCHMARK], None)
    assert 0 <= result["test"]["accuracy"] <= 1


def test_the_examples_are_used_in_a_run_together(env: Path, tmp_path: Path) -> None:
    model = {**TINY["model"], "attention": {"name": "gated", "bias": 1.0}}  # type: ignore[dict-item]
    result = run(env, tmp_path, "both", {"strategy": {"name": "bandit", "trials": 3, "epochs": 1}, "model": model})
    assert (result["strategy"], result["attention"]) == ("bandit", "gated")
    manifest = (tmp_path / "both" / "manifest.toml").read_text()
    for distribution in EXAMPLES:
        assert f'{distribution} = "0.1.0"' in manifest


def test_the_tests_that_come_with_a_package_pass(env: Path, tmp_path: Path) -> None:
    for distribution in EXAMPLES:
        shutil.copytree(ROOT / "examples" / distribution / "tests", tmp_path / distribution)
        told = done(env / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", distribution, cwd=tmp_path)
        assert "passed" in told
        assert "failed" not in told
