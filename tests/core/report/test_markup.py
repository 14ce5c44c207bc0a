"""Text of a run cannot become markup, whatever it is."""

from __future__ import annotations

import html

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nastk.core.report.markup import Html, escaped, joined, table, tag
from tests.core.report.parsing import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "\" onload=\"alert(1)' x='",
    "]]><svg/onload=alert(1)>",
    "-->&lt;&amp;",
    "\x00\x1b[31m\ud800\u202e",
]
ANY = st.text(max_size=40) | st.sampled_from(HOSTILE) | st.text(alphabet="<>&\"'/= \x00\ud800\u202e", max_size=20)


@given(ANY, ANY)
@settings(deadline=None, max_examples=300)
@example(HOSTILE[0], HOSTILE[2])
def test_children_and_attributes_stay_text(child: str, value: str) -> None:
    page = Page(tag("p", child, title=value))
    assert not page.faults
    ((name, attributes),) = page.elements
    assert (name, set(attributes)) == ("p", {"title"})
    assert attributes["title"] == html.unescape(escaped(value))
    assert "".join(page.said) == html.unescape(escaped(child))
    tag("p", child).encode("utf-8")


@given(st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs", "Cf", "Cn")), max_size=60))
@settings(deadline=None, max_examples=100)
def test_what_can_be_shown_is_shown_as_it_is(text: str) -> None:
    assert html.unescape(escaped(text)) == text


@given(st.lists(st.lists(ANY, min_size=2, max_size=3), min_size=1, max_size=3), ANY)
@settings(deadline=None, max_examples=60)
def test_a_table_of_anything_is_a_table(rows: list[list[str]], caption: str) -> None:
    page = Page(table(caption, ["a", "b"], rows))
    assert not page.faults
    assert {name for name, _ in page.elements} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert len(page.having("tr")) == len(rows) + 1


def test_only_markup_is_markup() -> None:
    assert tag("b", "<i>", Html("<i></i>"), None, ["x", 1]) == "<b>&lt;i&gt;<i></i>x1</b>"
    assert tag("meta", name="viewport", http_equiv="x", hidden=True, lang=None) == '<meta name="viewport" http-equiv="x" hidden>'
    assert joined(["a", Html("<br>")], " & ") == "a &amp; <br>"
    for wrong in ("p onclick=x", "<p>", ""):
        with pytest.raises(ValueError, match="no name"):
            tag(wrong)
        with pytest.raises(ValueError, match="no name"):
            tag("p", **{wrong: "x"})
