"""The table of the documentation is what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from nastk import registry
from nastk.core.types import Kind

PROGRAM = Path(__file__).parents[2] / "docs" / "attention_table.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attention_table", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(program: ModuleType) -> None:
    assert program.FILE.read_text(encoding="utf-8") == program.page(), "run: python docs/attention_table.py"


def test_every_bundled_attention_has_a_line(program: ModuleType) -> None:
    entries = [entry for entry in registry().entries() if entry.kind is Kind.ATTENTION]
    bundled = {entry.name for entry in entries if entry.source.distribution == "nastk"}
    assert set(program.FORMULAS) == bundled
    lines = {line.split("`")[1]: [cell.strip() for cell in line.split("|")[1:-1]] for line in list(program.table())[2:]}
    assert set(lines) == bundled
    assert lines["se"][2:6] == ["C, HW", "yes", "no", "512"]  # 2 C h = 2 * 64 * 4
    assert lines["tcsa"][2:6] == ["T, C, HW", "no", "yes", "538"]  # 2 T T + 2 C h + 2 * 3 * 3
    assert lines["tcja"][5] == "4,104"  # 2 T T + C C
    assert lines["gac"][5] == "131,076"  # 2 T + 2 * 4 * 4 C C
    assert lines["ca"][4] == lines["sa"][4] == "no"
    assert lines["eca"][7] == "Wang et al., CVPR 2020"
