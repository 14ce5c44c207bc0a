"""HTML and SVG as values: whatever is not markup already is escaped, so text of a run cannot become an element. Torch-free."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

Child = object
"""``None`` is left out, :class:`Html` stands as it is, lists and tuples are gone through, all else is text."""

VOID = {"meta", "link", "br", "input", "wbr"}
"""Elements without an end tag."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
"""Control characters, halves of surrogate pairs, and marks that turn the direction of what follows."""
_NAME = re.compile(r"[A-Za-z][\w-]*")


class Html(str):
    """Text that is markup. Only :func:`tag` and :func:`joined` make it from what others wrote."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Any value as text, with ``&<>"'`` escaped and what cannot be shown replaced by U+FFFD."""
    return Html(html.escape(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=True))


def joined(children: Iterable[Child], between: str = "") -> Html:
    """The children one after another, ``between`` (text) in the gaps."""
    return Html(escaped(between).join(_flat(children)))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element. In names of attributes a last underscore is dropped (``class_``), others become dashes; one that is ``None`` or
    ``False`` is left out.

    Raises ``ValueError`` for a name that no element or attribute has: names are never text of a run.
    """
    pairs = []
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if not _NAME.fullmatch(attribute):
            raise ValueError(f"{attribute!r} is no name of an attribute")
        if value is None or value is False:
            continue
        pairs.append(f" {attribute}" if value is True else f' {attribute}="{escaped(value)}"')
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element")
    head = f"<{name}{''.join(pairs)}>"
    return Html(head) if name in VOID else Html(f"{head}{joined(children)}</{name}>")


def table(caption: str, headings: Sequence[Child], rows: Iterable[Sequence[Child]], class_: str = "") -> Html:
    """A table with its caption, in a container of its own that scrolls where the page is too narrow.

    The first cell of a row is its heading.
    """
    head = tag("tr", [tag("th", heading, scope="col") for heading in headings])
    body = [tag("tr", tag("th", row[0], scope="row"), [tag("td", cell) for cell in row[1:]]) for row in rows]
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", body), class_=class_ or None)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, list | tuple) or (isinstance(child, Iterable) and not isinstance(child, str)):
            yield from _flat(child)
        else:
            yield escaped(child)
