"""The cut font of figures."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from knightshift.reconstruction.report import fonts
from knightshift.reconstruction.report.style import new_figure, render, styled


def words_of(family: list[str], words: str) -> bytes:
    with mpl.rc_context({"font.family": family, "text.parse_math": False}):
        figure = Figure((2, 0.5))
        figure.text(0.05, 0.3, words)
        figure.text(0.05, 0.7, words, fontweight="bold")
        content = BytesIO()
        figure.savefig(content, format="png", dpi=200, metadata={"Software": None})
    return content.getvalue()


def test_the_cut_font_draws_the_same_picture_as_the_whole_one() -> None:
    words = "T₂ = 16.2 ± 0.8 ms, AVATo 23 µm × 100 µm −5 σ, ²³Na, χ², é"
    assert words_of(fonts.figure_fonts(), words) == words_of([fonts.WHOLE_FONT], words)


def test_a_character_that_was_cut_away_comes_from_the_whole_font() -> None:
    assert words_of(fonts.figure_fonts(), "ячейка") == words_of([fonts.WHOLE_FONT], "ячейка")


def test_the_font_is_cut_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpl, "get_cachedir", lambda: str(tmp_path))
    monkeypatch.setattr(fonts.font_manager.fontManager, "addfont", lambda _: None)
    fonts.figure_fonts.__wrapped__()
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    fonts.figure_fonts.__wrapped__()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made
    assert {FT2Font(str(path)).style_name for path in made} == {"Book", "Bold"}
    assert all(path.stat().st_size < 100_000 for path in made)


def test_a_pdf_holds_its_words_as_text_in_the_cut_font() -> None:
    @styled
    def drawn() -> Figure:
        figure = new_figure(2, 1)
        figure.text(0.1, 0.5, "T₂ (ms)")
        return figure

    assert b"KnightshiftSans" in render(drawn(), "pdf")
