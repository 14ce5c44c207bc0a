"""What a run was: resolved configuration, versions, machine, command; enough to repeat it."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nastk.core.config import unstructure
from nastk.core.errors import OutputError
from nastk.core.registry import installed
from nastk.core.run.runfile import typed
from nastk.core.run.store import RunDirectory
from nastk.core.settings import RunConfig

SCHEMA = 2
PACKAGES = ("nastk", "torch", "numpy", "attrs", "cattrs", "safetensors")


def manifest(config: RunConfig, device: torch.device) -> dict[str, Any]:
    """The manifest of a run that starts now."""
    others = {source.distribution: source.version for source in installed()}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "schema": SCHEMA,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "device": str(device),
            "name": name,
            "system": platform.platform(),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
        "versions": {**{p: _version(p) for p in PACKAGES}, **others},
        "code": _git_state(),
        "config": unstructure(config),
    }


def config_of(store: RunDirectory) -> RunConfig:
    """The configuration of an existing run, checked as a file from a stranger is."""
    document = store.read_toml("manifest.toml")
    try:
        schema, config = document["schema"], document["config"]
    except KeyError as error:
        raise OutputError(f"{store.path / 'manifest.toml'} is damaged: {error} is missing.") from error
    if schema != SCHEMA:
        raise OutputError(f"{store.path} has manifest schema {schema!r}, this nastk reads {SCHEMA}.")
    return typed(config, str(store.path / "manifest.toml"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _git_state() -> dict[str, Any]:
    """Commit of nastk's own checkout and whether it was changed; empty for an installed package."""
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return {}

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}
