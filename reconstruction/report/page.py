"""The HTML page as a whole: one file, nothing from elsewhere, no script, a policy that forbids both."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from knightshift.reconstruction.report.markup import Markup, element, joined

_PHONE = 600.0
"""Figures wider than this [CSS pixels] scroll on a phone instead of shrinking."""


def page(title: str, subtitle: str, body: list[Markup], made_by: str) -> str:
    """Put a complete HTML document together.

    Parameters
    ----------
    title
        Heading, also of the window.
    subtitle
        Line below it.
    body
        What follows, in order.
    made_by
        Line at the foot.
    """
    css = Markup((files("knightshift.reconstruction.report") / "page.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(css)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", css),
    )
    content = element(
        "body", element("h1", title), element("p", subtitle, class_="under"), *body, element("footer", made_by)
    )
    return f"<!DOCTYPE html>\n{joined([element('html', head, content, lang='en')])}\n"


def _policy(css: str) -> str:
    """Allow this style sheet, by its digest, and images within the file; nothing else."""
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def inline_figure(png: bytes, caption: str, width: float) -> Markup:
    """Put a PNG into the page itself.

    Parameters
    ----------
    png
        The image file.
    caption
        Text below it, also what is read to those who do not see it.
    width
        On the screen [CSS pixels].
    """
    source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    image = element("img", src=source, alt=caption, width=f"{width:.0f}")
    wide = {"class_": "wide"} if width > _PHONE else {}
    return element("figure", element("div", image, **wide), element("figcaption", caption))
