"""Building compiled kernels: kept, shared between processes, never loaded when damaged, and done without when it fails."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nastk.core import native
from nastk.core.native import build

COMPILER = shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no compiler")

PROBE = """
from pathlib import Path
import sys
from nastk.core.native import build
build.SOURCES = Path(sys.argv[1])
for _ in range(3):
    library = build.load("probe")
print("none" if library is None else library.answer(20))
"""
SOURCE = """
extern "C" int answer(int n) { int sum = 0;
#pragma omp parallel for reduction(+ : sum)
for (int i = 0; i < n; ++i) sum += i;
return sum; }
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "probe.cpp").write_text(SOURCE)
    return tmp_path


def start(place: Path, **env: str) -> subprocess.Popen[str]:
    around = {k: v for k, v in os.environ.items() if k not in ("CXX", "NASTK_NATIVE")}
    around |= {"XDG_CACHE_HOME": str(place / "cache"), **env}
    command = [sys.executable, "-c", PROBE, str(place / "sources")]
    return subprocess.Popen(command, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ask(place: Path, **env: str) -> tuple[str, str]:
    process = start(place, **env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip(), err


def kept(place: Path) -> list[Path]:
    return sorted((place / "cache" / "nastk").iterdir())


@needs_compiler
def test_built_once_and_kept_for_this_user_alone(place: Path) -> None:
    assert ask(place) == ("190", "")
    folder = place / "cache" / "nastk"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (library,) = kept(place)
    before = library.stat()
    assert ask(place) == ("190", "")
    after = library.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino), "the second process built it again"
    folder.chmod(0o755)
    ask(place)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@needs_compiler
def test_another_source_is_another_library(place: Path) -> None:
    ask(place)
    (place / "sources" / "probe.cpp").write_text(SOURCE.replace("sum = 0", "sum = 5"))
    assert ask(place) == ("195", "")
    assert len(kept(place)) == 2


@needs_compiler
@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_library_is_built_anew(place: Path, damage: bytes | None) -> None:
    ask(place)
    (library,) = kept(place)
    whole = library.read_bytes()
    library.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert ask(place) == ("190", "")
    assert [path.read_bytes() for path in kept(place)] == [whole]


@needs_compiler
def test_two_processes_may_build_at_once(place: Path) -> None:
    running = [start(place) for _ in range(3)]
    assert [process.communicate(timeout=60) for process in running] == [("190\n", "")] * 3
    assert {path.suffix for path in kept(place)} == {".so"}, "nothing half-made is left"


def test_without_a_compiler_one_line_is_said(place: Path) -> None:
    out, err = ask(place, CXX="/nonexistent")
    assert out == "none"
    (line,) = err.splitlines()
    assert line.startswith("nastk: no compiled probe kernel (CXX=/nonexistent is no program)")


@needs_compiler
def test_a_source_that_does_not_compile_is_done_without(place: Path) -> None:
    (place / "sources" / "probe.cpp").write_text("this is no program")
    out, err = ask(place)
    assert out == "none"
    assert len(err.splitlines()) == 1
    assert "refused probe.cpp" in err
    assert not kept(place)


@needs_compiler
def test_a_cache_folder_that_cannot_be_made_is_done_without(place: Path) -> None:
    (place / "cache").write_text("a file")
    out, err = ask(place)
    assert out == "none"
    assert len(err.splitlines()) == 1


def test_the_switch_says_nothing(place: Path) -> None:
    assert ask(place, NASTK_NATIVE="0") == ("none", "")
    assert not (place / "cache").exists()


@needs_compiler
def test_a_compiler_that_refuses_a_flag_gets_fewer(place: Path) -> None:
    """A stand-in that knows neither ``-fopenmp`` nor ``-march=native``."""
    picky = place / "picky"
    picky.write_text(
        f'#!/bin/sh\ncase "$*" in *-fopenmp*|*-march*) echo "unknown flag" >&2; exit 1;; esac\nexec {COMPILER} "$@"\n'
    )
    picky.chmod(0o755)
    assert ask(place, CXX=str(picky)) == ("190", "")
    assert len(kept(place)) == 1
    assert ask(place, CXX=f"{COMPILER} -O1") == ("190", ""), "CXX may hold arguments"
    assert len(kept(place)) == 2, "another compiler, another library"


@pytest.mark.parametrize("source", sorted(build.SOURCES.glob("*.cpp")), ids=lambda path: path.stem)
@needs_compiler
def test_every_source_compiles(source: Path) -> None:
    assert native.load(source.stem) is not None


def test_threads_are_those_of_torch() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert native.threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_failed_build_leaves_the_neuron_as_it_was(tmp_path: Path) -> None:
    code = (
        "import torch; from nastk.core.config import NeuronPart\n"
        "neuron = NeuronPart.named('lif').build(); x = torch.linspace(-1, 3, 24).reshape(3, 2, 4)\n"
        "print(neuron.fuse(x, None) is None, [int(z) for z in neuron(x)[0].flatten()])"
    )
    answers = []
    for env in ({"CXX": "/nonexistent"}, {"NASTK_NATIVE": "0"}, {}):
        around = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **env} if env else dict(os.environ)
        done = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True, timeout=60, check=True)
        answers.append(done.stdout.split(" ", 1))
        assert ("no compiled neuron kernel" in done.stderr) == ("CXX" in env)
    assert [scanned for scanned, _ in answers[:2]] == ["True", "True"]
    assert len({spikes for _, spikes in answers}) == 1
