"""A disk that is full or read-only, at every point at which a run writes: one sentence, and it goes on once there is room."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from typer.testing import CliRunner

import nastk
from nastk.cli.app import app
from nastk.core.errors import OutputError
from nastk.core.run import store, trial_log
from nastk.plugins.reporters import jsonl
from tests.faults.conftest import Uninterrupted, end, same, settings, whole


@define
class Writes:
    """Counts what is handed to the disk; from the ``full``-th on the disk is full."""

    full: int | None
    count: int = 0

    def room(self) -> bool:
        self.count += 1
        return self.full is None or self.count < self.full


@contextmanager
def disk(full: int | None) -> Iterator[Writes]:
    """The three ways in which a run writes: whole files, lines of metrics, rows of trials."""
    found = Writes(full)
    write, checksum = jsonl._write, trial_log._checksum

    def synced(handle: int) -> None:
        del handle  # not to wait for a real disk
        if not found.room():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def written(file: Any, data: bytes) -> None:
        if not found.room():
            file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    def row(*content: object) -> str:
        if not found.room():
            raise sqlite3.OperationalError("database or disk is full")
        return checksum(*content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.os, "fsync", synced)
        patch.setattr(jsonl, "_write", written)
        patch.setattr(trial_log, "_checksum", row)
        yield found


def full_at(uninterrupted: Uninterrupted, directory: Path, write: int) -> None:
    told = ""
    with disk(write):
        try:
            nastk.run(settings(uninterrupted.strategy), out=directory)
        except OutputError as error:
            told = str(error)
    assert str(directory) in told
    assert "full" in told or os.strerror(errno.ENOSPC) in told
    if (directory / "manifest.toml").is_file():
        nastk.runs(directory.parent)
        nastk.run(resume=directory)
    else:
        nastk.run(settings(uninterrupted.strategy), out=directory)
    whole(directory)
    same(uninterrupted.end, end(directory))


def writes(uninterrupted: Uninterrupted, directory: Path) -> int:
    with disk(None) as counted:
        nastk.run(settings(uninterrupted.strategy), out=directory)
    return counted.count


def test_full_at_some_writes(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    count = writes(uninterrupted, tmp_path / "whole")
    for share in (0.2, 0.7):
        full_at(uninterrupted, tmp_path / f"{share}" / "run", max(1, int(share * count)))


@pytest.mark.slow
def test_full_at_every_write(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    for write in range(1, writes(uninterrupted, tmp_path / "whole") + 1):
        full_at(uninterrupted, tmp_path / f"{write}" / "run", write)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = CliRunner().invoke(app, ["run", "--out", str(tmp_path / "file" / "run"), "-q"])
    assert shown.exit_code == 2
    assert "cannot be made" in shown.stderr
    assert "Traceback" not in shown.output
