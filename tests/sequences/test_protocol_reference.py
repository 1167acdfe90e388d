"""The reference page says what the models say."""

from __future__ import annotations

from pathlib import Path

from knightshift.sequences import GradientEcho, MultiEchoSpinEcho, PulseAcquire, SpinEchoSeries
from knightshift.sequences.protocol_reference import render_reference

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocols.md"


def test_the_page_is_current():
    assert _PAGE.read_text(encoding="utf-8") == render_reference(), (
        "write it again: Path('docs/reference/protocols.md').write_text(render_reference())"
    )


def test_every_field_is_explained():
    page = render_reference()
    for model in (SpinEchoSeries, MultiEchoSpinEcho, GradientEcho, PulseAcquire):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert f"`{name}`" in page or name == "kind"
