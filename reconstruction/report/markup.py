"""HTML put together from elements, so that no text of a run can become markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"img", "meta", "br", "hr"})


class Markup(str):
    """Text that is HTML already. Only this module makes it from anything else."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """Make an HTML element; children that are not `Markup`, and all attributes, are escaped.

    Parameters
    ----------
    name
        Of the element: ``"p"``.
    children
        Text or `Markup`.
    attributes
        A trailing underscore is dropped, others become hyphens: ``class_="wide"``, ``http_equiv="..."``.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{words}>")
    return Markup(f"<{name}{words}>{joined(children)}</{name}>")


def joined(parts: Iterable[str], separator: str = "") -> Markup:
    """Put parts one after another; those that are not `Markup` are escaped."""
    return Markup(separator.join(part if isinstance(part, Markup) else escape(part, quote=True) for part in parts))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Markup:
    """Make a table that scrolls by itself on a narrow screen; without `head`, first cells head their rows."""
    body = [element("tr", *(_cell(index, cell, not head) for index, cell in enumerate(row))) for row in rows]
    parts = [element("thead", element("tr", *(element("th", cell, scope="col") for cell in head)))] if head else []
    return element("div", element("table", *parts, element("tbody", *body)), class_="scroll")


def _cell(index: int, content: str, first_is_heading: bool) -> Markup:
    if index == 0 and first_is_heading:
        return element("th", content, scope="row")
    return element("td", content)
