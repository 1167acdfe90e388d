"""The font of all figures, cut once to the characters that figures use.

DejaVu Sans has 6000 characters and tables for the ligatures of many scripts; matplotlib would cut all of that down anew
for every font of every PDF, which takes longer than to draw the figure.
"""

from __future__ import annotations

import hashlib
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager

from knightshift.core.durable import write_durably

WHOLE_FONT = "DejaVu Sans"
"""Comes with matplotlib: the same figure on every machine."""
CUT_FONT = "Knightshift Sans"
"""The same glyphs under a name of its own, or matplotlib would not tell the two apart."""

_WEIGHTS = {"Regular": "DejaVuSans.ttf", "Bold": "DejaVuSans-Bold.ttf"}
_LATIN_AND_GREEK = ((0x20, 0x7E), (0xA0, 0xFF), (0x391, 0x3C9))
_SIGNS = "–—‘’“”•…←→−√∞≈≠≤≥"
_RAISED_AND_LOWERED = ((0x2070, 0x2071), (0x2074, 0x208E))
_NAMES_OF_THE_FAMILY, _NAMES_OF_THE_FONT, _NAME_IN_A_FILE = (1, 16), (4,), (6,)
"""Numbers of the entries in the table of names of a TrueType file."""


@cache
def figure_fonts() -> list[str]:
    """Families for matplotlib: the cut font, and for any other character the whole one.

    The cut files are kept beside matplotlib's own list of fonts, so that they are made once a machine.
    """
    for weight, file_name in _WEIGHTS.items():
        whole = Path(mpl.get_data_path()) / "fonts" / "ttf" / file_name
        made_of = hashlib.sha256(repr((mpl.__version__, CUT_FONT, _characters())).encode()).hexdigest()[:16]
        path = Path(mpl.get_cachedir()) / f"knightshift-{weight.lower()}-{made_of}.ttf"
        if not path.exists():
            write_durably(path, _cut(whole, weight))
        font_manager.fontManager.addfont(path)
    return [CUT_FONT, WHOLE_FONT]


def _characters() -> list[int]:
    ranges = (*_LATIN_AND_GREEK, *_RAISED_AND_LOWERED)
    return sorted({*map(ord, _SIGNS), *(code for first, last in ranges for code in range(first, last + 1))})


def _cut(whole: Path, weight: str) -> bytes:
    """Keep the characters of figures, their hints and their kerning; leave out the tables of other scripts."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    with TTFont(whole, lazy=True) as font:
        for layout in {"GSUB", "GPOS", "GDEF"} & set(font.keys()):
            del font[layout]
        cutter = Subsetter(Options(glyph_names=True, recommended_glyphs=True, name_IDs=["*"]))
        cutter.populate(unicodes=_characters())
        cutter.subset(font)
        for entry in font["name"].names:
            if entry.nameID in _NAMES_OF_THE_FAMILY:
                entry.string = CUT_FONT
            elif entry.nameID in _NAMES_OF_THE_FONT:
                entry.string = f"{CUT_FONT} {weight}"
            elif entry.nameID in _NAME_IN_A_FILE:
                entry.string = f"{CUT_FONT.replace(' ', '')}-{weight}"
        content = BytesIO()
        font.save(content)
        return content.getvalue()
