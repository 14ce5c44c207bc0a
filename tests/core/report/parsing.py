"""A page read back with the standard library, as a browser would see it: its elements, its text, and what is wrong with it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from nastk.core.report.markup import VOID

LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href", "href"}
LEVELS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and faults: unbalanced tags, doubled attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.faults: list[str] = []
        self.said: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) < len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.said.append(data)
        if self.open and self.open[-1] in LEVELS:
            self.headings.append((int(self.open[-1][1]), data))

    def having(self, name: str, /, **attributes: str) -> list[dict[str, str]]:
        """The attributes of every element of this name that has these (``class_``: among its classes)."""
        found = [attrs for element, attrs in self.elements if element == name]
        for key, value in attributes.items():
            attribute = key.rstrip("_")
            found = [attrs for attrs in found if value in attrs.get(attribute, "").split()]
        return found

    @property
    def text(self) -> str:
        """All that is shown, with single spaces."""
        return " ".join(" ".join(self.said).split())


def read(path: Path) -> Page:
    """A page from a file, checked."""
    return checked(path.read_text(encoding="utf-8"))


def checked(text: str) -> Page:
    """A page that is balanced, names nothing twice, loads nothing, has headings in order, and says its pictures in words."""
    page = Page(text)
    assert not page.faults, page.faults[:5]
    assert text.startswith("<!DOCTYPE html>")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)), [name for name in ids if ids.count(name) > 1]
    for name, attrs in page.elements:
        for attribute in LOADING & set(attrs):
            value = attrs[attribute]
            assert value.startswith("#") or value == "data:,", f"<{name} {attribute}={value!r}>"
            assert not value.startswith("#") or value[1:] in ids, f"{value} leads nowhere"
        assert "style" not in attrs, "the policy of the page forbids styles of elements"
        assert not [attribute for attribute in attrs if attribute.startswith("on")], f"<{name}> would run something"
    assert not re.search(r"url\(|@import", "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL)))
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels)), page.headings
    for attrs in page.having("svg"):
        assert attrs.get("aria-hidden") == "true" or (attrs.get("role") == "img" and attrs.get("aria-label")), attrs
    assert len(page.having("table")) == len(page.having("caption"))
    assert page.having("html", lang="en")
    assert page.having("meta", name="viewport")
    return page
