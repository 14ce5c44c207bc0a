"""A C++ source of this folder, compiled at first use and kept in the user's cache folder.

The sources include no header of torch: they take pointers and sizes through ``ctypes``, so a build takes about a second.
A kept library has the digest of its own bytes in its name: one that was damaged is never loaded, but built anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent
COMPILERS = ("g++", "clang++")
FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC")
CONTRACTED = ("winograd",)
"""Sources with fused multiply-adds. The others go without: their kernels give the bits that the Python code gives."""
EXTRAS = (("-march=native", "-fopenmp"), ("-march=native",), ("-fopenmp",), ())
"""What a compiler may refuse, most wanted first."""
SECONDS = 120
SWITCH = "NASTK_NATIVE"

_log = logging.getLogger("nastk")
_lock = threading.Lock()
_loaded: dict[str, ctypes.CDLL | None] = {}


class CannotBuild(Exception):
    """Why there is no library; said once, then the caller's other path is used."""


def load(name: str) -> ctypes.CDLL | None:
    """The library of ``nastk/core/native/<name>.cpp``, compiled when it is not in the cache.

    ``None`` with ``NASTK_NATIVE=0``, and where it cannot be built: then one line says why on standard error, once in a
    process and source. The compiler is ``$CXX`` (with arguments, if any), else the first found of ``g++`` and ``clang++``.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    if name not in _loaded:
        with _lock:
            if name not in _loaded:
                _loaded[name] = _load_or_say_why(name)
    return _loaded[name]


def threads() -> int:
    """How many threads a kernel may use: what ``torch.set_num_threads`` says now."""
    import torch

    return torch.get_num_threads()


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/nastk``, else ``~/.cache/nastk``: of the user alone, since what lies there is run."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (base if base.is_absolute() else Path.home() / ".cache") / "nastk"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise CannotBuild(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def _load_or_say_why(name: str) -> ctypes.CDLL | None:
    try:
        return _built(name)
    except (CannotBuild, OSError, RuntimeError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())[:300]
        _log.warning("nastk: no compiled %s kernel (%s); the slower path is used. %s=0 silences this.", name, reason, SWITCH)
        return None


def _built(name: str) -> ctypes.CDLL:
    if os.name != "posix":
        raise CannotBuild("compiled kernels need Linux or macOS")
    source, compiler, folder = SOURCES / f"{name}.cpp", _compiler(), cache_folder()
    about = [source.read_text(encoding="utf-8"), _version(tuple(compiler)), _processor()]
    contract = "-ffp-contract=fast" if name in CONTRACTED else "-ffp-contract=off"
    commands = {_stem(name, [*about, *flags]): flags for extra in EXTRAS if (flags := [*compiler, *FLAGS, contract, *extra])}
    for stem in commands:
        for kept in sorted(folder.glob(f"{stem}-*.so")):
            if kept.stem == f"{stem}-{_digest(kept)}":
                return ctypes.CDLL(str(kept))
            kept.unlink(missing_ok=True)
    said = ""
    for stem, command in commands.items():
        path, said = _compile(command, source, folder, stem)
        if path is not None:
            return ctypes.CDLL(str(path))
    raise CannotBuild(f"{shlex.join(compiler)} refused {source.name}: {said}")


def _compile(command: Sequence[str], source: Path, folder: Path, stem: str) -> tuple[Path | None, str]:
    """Built under another name and renamed, so that of two processes neither sees the other's half of a file."""
    handle, part = tempfile.mkstemp(prefix=f"{stem}.", suffix=".part", dir=folder)
    os.close(handle)
    made = Path(part)
    try:
        whole = [*command, str(source), "-o", part]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            return None, done.stderr
        return made.replace(folder / f"{stem}-{_digest(made)}.so"), ""
    finally:
        made.unlink(missing_ok=True)


def _compiler() -> list[str]:
    """Program and first arguments."""
    wanted = shlex.split(os.environ.get("CXX", ""))
    for candidate in [wanted] if wanted else [[name] for name in COMPILERS]:
        if found := shutil.which(candidate[0]):
            return [found, *candidate[1:]]
    raise CannotBuild(f"CXX={wanted[0]} is no program" if wanted else f"found no compiler, neither {' nor '.join(COMPILERS)}")


@cache
def _version(compiler: tuple[str, ...]) -> str:
    done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.stdout + done.stderr


@cache
def _processor() -> str:
    """What ``-march=native`` looks at, as far as a file or the platform tells: a home folder may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = {line for line in lines if line.split("\t")[0].strip() in ("model name", "flags", "Features", "CPU part", "isa")}
    return "\n".join([platform.system(), platform.machine(), platform.processor(), *sorted(told)])


def _stem(name: str, about: Sequence[str]) -> str:
    return f"{name}-{hashlib.sha256(chr(0).join(about).encode()).hexdigest()[:20]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:20]
