"""The gallery of neurons is what the code says, and none is missing."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nastk.core.describe import describe
from nastk.core.types import Kind

DOCS = Path(__file__).parents[1] / "docs"
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


def test_text_is_up_to_date(gallery: ModuleType) -> None:
    assert (DOCS / "neuron-gallery.md").read_text(encoding="utf-8") == gallery.page(), "run: python docs/gallery.py"


def test_every_neuron_and_surrogate_has_its_place_and_picture(gallery: ModuleType) -> None:
    page = (DOCS / "neuron-gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((images/neurons/[^)]+)\)", page)
    assert len(shown) == len(set(shown)) == sum(len(gallery.names(kind)) for kind in (Kind.NEURON, Kind.SURROGATE))
    for kind in (Kind.NEURON, Kind.SURROGATE):
        for name in gallery.names(kind):
            assert f"`{name}`" in page
            for setting in describe(kind, name).settings:
                assert f"`{setting.name} = " in page
    assert {path.relative_to(DOCS).as_posix() for path in (DOCS / "images" / "neurons").iterdir()} == set(shown), "pictures"
    assert sum((DOCS / path).stat().st_size for path in shown) < MOST_BYTES


def test_equations_come_from_the_docstring(gallery: ModuleType) -> None:
    assert gallery.equations("A neuron.\n\nSo::\n\n    v = 1\n    z = 2\n\nMore ``a = b``.") == "v = 1\nz = 2"
    assert gallery.equations("A neuron.\n\n``v = 1``, then ``z = 2``.") == "v = 1"
    assert gallery.formula("G.\n\n``g(u) = a`` where ``|u| < 1``, else 0; area 1.") == "`g(u) = a` where `|u| < 1`, else 0"
    with pytest.raises(ValueError, match="no equation"):
        gallery.equations("A neuron.")


def test_a_picture_shows_what_the_neuron_does(gallery: ModuleType) -> None:
    import torch

    pulse = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    z, v = gallery.respond("if", pulse * 0.3, {})
    assert v.flatten().tolist() == pytest.approx([0, 0.3, 0, 0])
    assert z.flatten().tolist() == [0, 0, 1, 0]
    assert gallery.respond("relu", pulse, {})[1] is None
