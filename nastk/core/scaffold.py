"""A new plug-in package from a template: one small working part of a kind, with its tests."""

from __future__ import annotations

import builtins
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template

from attrs import frozen

from nastk.core.describe import kind_named
from nastk.core.errors import NastkError, OutputError
from nastk.core.hookspecs import INTERFACE
from nastk.core.registry import registry
from nastk.core.types import Kind

LONGEST = 40
"""Letters of a name, so that file names and lines stay readable."""

TESTS = "tests"


@frozen
class Hints:
    """What the README of a package says of its kind; ``{name}`` stands for the plug-in's name."""

    use: str
    """The command that uses such a part."""
    change: str
    """What of the class is to be written anew for another part."""


HINTS: Mapping[Kind, Hints] = {
    Kind.NEURON: Hints("nastk run --neuron {name}", "its settings, and `charge`, from input and membrane to membrane"),
    Kind.SURROGATE: Hints(
        """nastk run --set 'model.neuron={{name="plif", surrogate="{name}"}}'""", "its settings, and the formula in `gradient`"
    ),
    Kind.ATTENTION: Hints("nastk run --attention {name}", "its settings, the axes it mixes (`axes`), and `forward`"),
    Kind.OPERATION: Hints(
        """nastk run --set 'space.operations=["none", "skip_connect", "{name}"]'""",
        "what it reads (`reads`), its layers, and `forward`",
    ),
    Kind.SPACE: Hints("nastk run --space {name}", "its settings, its cells, and what is decided in them"),
    Kind.STRATEGY: Hints("nastk run --strategy {name}", "its settings, its state, and `ask`, `tell` and `recommend`"),
    Kind.DATASET: Hints("nastk run --dataset {name}", "its settings, `classes`, and what `train` and `test` read or make"),
    Kind.TASK: Hints("nastk run --set task={name}", "its settings, `loss`, and `correct` if the largest logit is not the answer"),
    Kind.ESTIMATOR: Hints(
        "nastk run --set strategy.penalty={name}", "its settings, `unit`, `estimate`, and `expected` where there is one"
    ),
    Kind.EXECUTOR: Hints(
        "nastk run --strategy random-search --set executor={name}", "its settings, and how `run` comes to its reports"
    ),
    Kind.REPORTER: Hints("nastk run --set 'reporters=[\"{name}\"]'", "its settings, and what `hear` does with an event"),
    Kind.EXPORTER: Hints("nastk export RUN_DIR --to {name}", "its settings, `suffix`, `write` and `read`"),
    Kind.BENCHMARK: Hints(
        "nastk run --set benchmark={name}", "its settings, the space in `defaults`, `epochs`, `look_up` and `test`"
    ),
}


def new(kind: Kind | str, name: str, directory: str | Path) -> Path:
    """Write a package with one working plug-in of this kind and name, and its tests; returns the directory.

    ``directory`` is new or empty. Raises :class:`~nastk.core.errors.UnknownName` for a kind that there is not,
    :class:`~nastk.core.errors.NastkError` for a name that is none or is taken, and
    :class:`~nastk.core.errors.OutputError` for a directory that cannot be written; then nothing is left behind.
    """
    kind = kind_named(kind)
    _check_name(kind, name)
    target = Path(directory)
    _write(target, package(kind, name))
    return target


def package(kind: Kind, name: str) -> dict[str, str]:
    """The files of a package: path in it -> content."""
    identifier = re.sub(r"\W", "_", name)
    module, tests = f"nastk_{identifier}", f"{TESTS}/test_{identifier}.py"
    part = _template(f"{kind}.py")
    hints = HINTS[kind]
    words = {
        "kind": kind.value,
        "name": name,
        "identifier": identifier,
        "module": module,
        "distribution": module.replace("_", "-"),
        "cls": _class_name(kind, identifier, part.template),
        "interface": str(INTERFACE),
        "use": hints.use.format(name=name),
        "change": hints.change,
    }
    found = {
        "pyproject.toml": _template("pyproject.toml"),
        "README.md": _template("README.md"),
        f"{module}.py": part,
        tests: _template(f"test_{kind}.py"),
    }
    return {path: template.substitute(words) for path, template in found.items()}


def _template(name: str) -> Template:
    return Template(files("nastk.core").joinpath("templates", f"{name}.template").read_text(encoding="utf-8"))


def _class_name(kind: Kind, identifier: str, source: str) -> str:
    """``two_moons`` is ``TwoMoons``; with the kind behind it where the template or Python uses that name already."""
    name = "".join(word.capitalize() for word in identifier.split("_"))
    used = {*re.findall(r"\w+", source), *dir(builtins)}
    while {name, f"{name}Config", f"{name}State"} & used:
        name += kind.value.capitalize()
    return name


def _check_name(kind: Kind, name: str) -> None:
    dashes, which = ("[-_]", "dashes or underscores") if kind is Kind.OPERATION else ("-", "dashes")
    if not re.fullmatch(rf"[a-z][a-z0-9]*({dashes}[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise NastkError(
            f"{name!r} is no name for a plug-in: write lower-case letters and digits, with single {which} between words, "
            f"a letter first, {LONGEST} characters at most."
        )
    if name in registry().names(kind):
        source = registry().find(kind, name).source
        raise NastkError(
            f"There is {kind} {name!r} already, from {source.distribution} {source.version}".rstrip() + ": choose another name."
        )
    distribution = f"nastk-{name.replace('_', '-')}"
    with suppress(PackageNotFoundError):
        raise NastkError(
            f"A package {distribution} {version(distribution)} is installed already, and the new one would take its place: "
            "choose another name."
        )


def _write(target: Path, content: Mapping[str, str]) -> None:
    """All files in a folder beside their place first, then moved there, so that no half of a package is left."""
    undo: list[Callable[[], None]] = []
    try:
        existed = target.is_dir()
        if existed and any(target.iterdir()):
            raise OutputError(f"{target} is not empty: name a new directory for the package.")
        if not existed and (target.exists() or target.is_symlink()):
            raise OutputError(f"{target} is no directory: name a new one for the package.")
        home = target if existed else target.parent
        for folder in reversed([home, *home.parents]):
            if not folder.exists():
                folder.mkdir()
                undo.append(folder.rmdir)
        staging = home / f".nastk-new-{secrets.token_hex(4)}"
        staging.mkdir()
        undo.append(lambda: shutil.rmtree(staging))
        for name, text in content.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text(text, encoding="utf-8")
        if existed:
            for made in sorted(staging.iterdir()):
                undo.append(_remover(made.replace(target / made.name)))
            staging.rmdir()
        else:
            staging.replace(target)
    except BaseException as error:  # an interrupt, too, leaves nothing behind
        for step in reversed(undo):
            with suppress(OSError):
                step()
        if isinstance(error, (OSError, ValueError)):  # ValueError: a path that no file can have
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{target} cannot be written: {reason}. Nothing was left there.") from error
        raise


def _remover(path: Path) -> Callable[[], None]:
    return lambda: shutil.rmtree(path) if path.is_dir() else path.unlink()
