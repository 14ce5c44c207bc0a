"""Packages that may be missing are named with what installs them."""

from __future__ import annotations

import json

import pytest

from nastk.core.errors import BrokenPlugin
from nastk.core.extras import needed


def test_what_is_there_is_given() -> None:
    assert needed("json", "any", "A test") is json


def test_what_is_missing_is_one_sentence() -> None:
    with pytest.raises(BrokenPlugin, match=r'^A test needs nowhere_to_be, which .*: pip install "nastk\[some-extra\]"$'):
        needed("nowhere_to_be.found", "some-extra", "A test")
