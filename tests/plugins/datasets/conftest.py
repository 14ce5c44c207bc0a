"""SpikingJelly's readers of events."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nastk.core.errors import DataError
from nastk.plugins.datasets.torchvision_compat import torchvision


@pytest.fixture
def spikingjelly_readers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its module of readers alone; its data sets beside it want torchaudio, which may not fit this torch."""
    found = importlib.util.find_spec("spikingjelly")
    if found is None or not found.submodule_search_locations:
        pytest.skip("spikingjelly is not installed")
    with contextlib.suppress(DataError):
        torchvision()  # makes a torchvision of another torch usable
    package = ModuleType("spikingjelly.datasets")
    package.__path__ = [str(Path(next(iter(found.submodule_search_locations))) / "datasets")]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.delitem(sys.modules, f"{package.__name__}.utils", raising=False)
    try:
        return importlib.import_module(f"{package.__name__}.utils")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spikingjelly's readers cannot be imported: {error}")
    finally:
        sys.modules.pop(f"{package.__name__}.utils", None)
