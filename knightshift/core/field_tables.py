"""Tables of the fields of a model for the reference pages: unit, default and meaning, from the model itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from pydantic import BaseModel

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "m": ((1.0, "m"), (1e-3, "mm"), (1e-6, "um")),
    "rad": ((0.017453292519943295, "deg"),),
    "1": ((1e-6, "ppm"),),
}


def field_table(model: type[BaseModel], skip: frozenset[str] = frozenset()) -> list[str]:
    """Lines of a Markdown table with a row for each field of `model` that is not in `skip`.

    The meaning is the description of the field, or the text below it in the class.
    """
    schema = model.model_json_schema(mode="validation")
    required, texts = set(schema.get("required", ())), attribute_docstrings(model)
    lines = ["| field | unit | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in schema.get("properties", {}).items():
        if name not in skip:
            default = "required" if name in required else default_text(field)
            meaning = " ".join(str(field.get("description") or texts.get(name, "")).split()).replace("|", "\\|")
            lines.append(f"| `{name}` | {unit_text(field)} | {default} | {meaning} |")
    return lines


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Texts below the fields of a class and of those that it inherits from, by name."""
    texts: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel) and parent is not BaseModel:
            body = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
            assert isinstance(body, ast.ClassDef)
            for field, text in zip(body.body, body.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    texts[field.target.id] = str(text.value.value)
    return texts


def unit_of(schema: Any) -> str | None:
    """Find the SI unit that a quantity carries, however deep in the schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("unit"), str):
            return str(schema["unit"])
        found = [unit_of(part) for part in schema.values()]
    elif isinstance(schema, list):
        found = [unit_of(part) for part in schema]
    else:
        return None
    return next((unit for unit in found if unit is not None), None)


def unit_text(field: dict[str, Any]) -> str:
    """Name the unit that a field is written with; nothing where it has none."""
    unit = unit_of(field)
    return {None: "", "1": "ppm", "rad": "deg"}.get(unit, unit or "")


def default_text(field: dict[str, Any]) -> str:
    """Default of a field as one would write it in YAML."""
    value, unit = field.get("default"), unit_of(field)
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "that of each field" if value else "empty"
    if unit is None or not isinstance(value, int | float):
        return f"`{value}`"
    scales = _SCALES.get(unit, ((1.0, unit),))
    scale, name = next((item for item in scales if value >= item[0]), scales[-1] if value else scales[0])
    return f'`"{value / scale:g} {name}"`'
