"""The wheel: it holds all that it needs, and works where there is no checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("nastk", "pyproject.toml", "README.md", "LICENSE")

LOAD_ALL = """
from nastk import Kind, registry
for entry in registry().entries():
    registry().load(entry.kind, entry.name)
digits = registry().load(Kind.DATASET, "digits")
print(len(digits(vars(digits)["__nastk__"].config()).read("test").y))
"""

pytestmark = pytest.mark.slow


def done(*command: str | Path, cwd: Path) -> str:
    finished = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing left in the checkout by an earlier build gets in, and nothing is left there."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = [archive.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt")]
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "nastk").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert {"nastk/py.typed", "nastk/plugins/datasets/digits.npz"} <= package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "nastk = nastk.cli:main" in points
    for plugin in ("neurons", "attention", "strategies", "plugins"):
        assert f"{plugin} = nastk.{plugin}" in points
    assert "Requires-Python: >=3.11" in metadata


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    env = tmp_path / "env"
    done(sys.executable, "-m", "venv", env, cwd=tmp_path)
    python = env / "bin" / "python"
    done(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    site = Path(done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # What nastk depends on is borrowed from this environment. A folder named in a .pth file has its own .pth files
    # left alone, so an editable nastk is not borrowed with it.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    assert Path(done(python, "-c", "import nastk; print(nastk.__file__)", cwd=tmp_path).strip()).is_relative_to(site)
    listed = json.loads(done(env / "bin" / "nastk", "plugins", "--json", cwd=tmp_path))
    assert {"plif", "cbam", "ma-darts", "digits", "spiking-cells"} <= {plugin["name"] for plugin in listed["plugins"]}
    assert not [broken for broken in listed["broken"] if broken["distribution"] == "nastk"]
    assert int(done(python, "-c", LOAD_ALL, cwd=tmp_path)) == 360
    assert "cbam" in done(env / "bin" / "nastk", "describe", "attention", "cbam", cwd=tmp_path)
