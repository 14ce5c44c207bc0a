"""A flipped bit or a torn end in any file of a run: noticed and said, or mended from what is there; never a wrong result."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

import nastk
from nastk.core.errors import NastkError
from tests.faults.conftest import Killed, Uninterrupted, end, moments, same, settings

Halves = tuple[Uninterrupted, list[Path]]
DERIVED = (".png", ".svg", ".lock")
"""Pictures are drawn from the genotype, and nobody reads them."""


@pytest.fixture(scope="session")
def halves(uninterrupted: Uninterrupted, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Runs that were killed: early in the search, late in it, in the training."""
    folder = tmp_path_factory.mktemp("halves")
    for share in (0.2, 0.45, 0.92):
        with moments(int(share * uninterrupted.moments)), pytest.raises(Killed):
            nastk.run(settings(uninterrupted.strategy), out=folder / f"{share}")
    return uninterrupted, sorted(folder.iterdir())


def damaged(path: Path, place: float, bit: int, torn: bool) -> bool:
    """Flip a bit, or cut the file off there; says whether that changed anything."""
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if not data or at >= len(data):
        return False
    if torn:
        path.write_bytes(data[:at])
    else:
        data[at] ^= 1 << bit
        path.write_bytes(data)
    return True


def is_noticed_or_mended(halves: Halves, which: int, file: int, place: float, bit: int, torn: bool) -> None:
    uninterrupted, directories = halves
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(directories[which % len(directories)], Path(folder) / "run"))
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.suffix not in DERIVED)
        damaged(files[file % len(files)], place, bit, torn)
        nastk.runs(folder)
        try:
            nastk.run(resume=run)
        except NastkError as error:
            told = str(error)
        else:
            found, wanted = end(run), dict(uninterrupted.end)
            del found["search"], wanted["search"]  # a finished search does not look at its checkpoints again, damaged or not
            same(wanted, found)
            return
        assert str(run) in told, "it is said which file is damaged"


PLACES = (
    strategies.integers(0, 2), strategies.integers(0, 30), strategies.floats(0, 1, exclude_max=True), strategies.integers(0, 7),
    strategies.booleans(),
)  # fmt: skip


@given(*PLACES)
@hypothesis_settings(deadline=None, max_examples=3)
def test_damage(halves: Halves, which: int, file: int, place: float, bit: int, torn: bool) -> None:
    is_noticed_or_mended(halves, which, file, place, bit, torn)


@pytest.mark.slow
@given(*PLACES)
@hypothesis_settings(deadline=None, max_examples=150)
def test_damage_in_many_places(halves: Halves, which: int, file: int, place: float, bit: int, torn: bool) -> None:
    is_noticed_or_mended(halves, which, file, place, bit, torn)


@pytest.mark.parametrize("name", ["manifest.toml", "genotype.json", "result.json"])
def test_what_nothing_else_knows_is_refused(halves: Halves, tmp_path: Path, name: str) -> None:
    """A changed digit in these is a changed run."""
    run = Path(shutil.copytree(halves[1][2], tmp_path / "run"))
    text = (run / name).read_text()
    (run / name).write_text(text.replace("1", "2"))
    with pytest.raises(NastkError, match=name.replace(".", r"\.")):
        nastk.run(resume=run)
