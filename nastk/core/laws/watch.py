"""What laws watch from outside: the global random state, and the files beside those that a plug-in may write."""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from attrs import field, frozen

from nastk.core.laws.law import ensure
from nastk.core.seeds import key, seeded

Contents = dict[str, bytes | None]
"""Path below a folder -> what the file holds; ``None`` for a folder."""


def global_random_states() -> dict[str, bytes]:
    """The state of each global generator, by the name of its owner."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy.random": repr((name, rest)).encode() + np.asarray(keys).tobytes(),
        "random": repr(random.getstate()).encode(),
    }


@contextmanager
def elsewhere(seed: int, *purpose: str | int) -> Iterator[None]:
    """The global generators of torch, Python and NumPy in a state that depends on seed and purpose; put back afterwards."""
    pythons, numpys = random.getstate(), np.random.get_state()
    number = key(seed, "elsewhere", *purpose)
    with seeded(number):
        random.seed(number)
        np.random.seed(number % 2**32)
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)


@contextmanager
def random_state_kept(seed: int, *purpose: str | int) -> Iterator[None]:
    """The global generators are seeded for the block and get their state back after it.

    Raises :class:`~nastk.core.laws.law.LawBroken` when the block has drawn from one of them, or seeded it.
    """
    with elsewhere(seed, *purpose):
        before = global_random_states()
        yield
        after = global_random_states()
    changed = [name for name in before if before[name] != after[name]]
    ensure(not changed, f"the global random state of {' and '.join(changed)} was drawn from, or seeded")


def contents(folder: Path) -> Contents:
    """All that is below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


@frozen
class Scratch:
    """A folder that a plug-in may write to, and all around it that it may not touch: the current folder too."""

    folder: Path
    """Where it may write. Empty at first."""
    around: Path
    before: Contents = field(repr=False)

    def touched(self) -> list[str]:
        """What was written, changed or removed elsewhere."""
        after = {path: content for path, content in contents(self.around).items() if not self._allowed(path)}
        paths = sorted(self.before.keys() | after.keys())
        return [path for path in paths if path not in after or path not in self.before or after[path] != self.before[path]]

    def _allowed(self, path: str) -> bool:
        own = self.folder.relative_to(self.around).as_posix()
        return path == own or path.startswith(own + "/")


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A :class:`Scratch` for a block, gone after it; standard output and error are swallowed meanwhile."""
    with tempfile.TemporaryDirectory(prefix="nastk-laws-", ignore_cleanup_errors=True) as name:
        around = Path(name).resolve()
        folder, elsewhere = around / "runs" / "own", around / "elsewhere"
        for made in (elsewhere, around / "runs" / "another"):
            made.mkdir(parents=True)
            (made / "kept.txt").write_text("must stay as it is\n")
        before = contents(around)
        folder.mkdir()
        with contextlib.chdir(elsewhere), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield Scratch(folder, around, before)
