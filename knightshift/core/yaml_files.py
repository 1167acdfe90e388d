"""Read YAML into models: shipped files by name, a user's file by path, every mistake told with its place."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from knightshift.core.errors import ConfigError
from knightshift.core.quantities import UNITS_REQUIRED

ModelT = TypeVar("ModelT")

_MAX_BYTES = 4_000_000


def shipped_names(folder: str) -> list[str]:
    """Names of the shipped files in one folder of ``knightshift.configs``, without ``.yaml``."""
    return sorted(Path(entry.name).stem for entry in _shipped(folder).iterdir() if entry.name.endswith(".yaml"))


def _shipped(folder: str) -> Any:
    return files("knightshift.configs") / folder


def find_config(folder: str, name_or_path: str | Path) -> Path:
    """Find a configuration: a path, or the name of a file shipped in `folder` (``"overnight_t2"``).

    Raises
    ------
    ConfigError
        If there is neither; the message lists what is shipped.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    plain = path.name == str(name_or_path)
    if plain and path.stem in shipped_names(folder):
        return Path(str(_shipped(folder) / f"{path.stem}.yaml"))
    raise ConfigError(
        f"no file {str(name_or_path)!r}, and nothing of that name is shipped in {folder}: "
        f"shipped are {', '.join(shipped_names(folder))}"
    )


def read_yaml(path: Path) -> Any:
    """Read one YAML file with `yaml.safe_load`.

    Raises
    ------
    ConfigError
        If it cannot be read, is not YAML, or is larger than 4 MB.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes is too large for a configuration file")
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader that refuses double keys
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice (YAML would silently keep the last) and aliases (bombs)."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_config(model: type[ModelT] | Any, folder: str, name_or_path: str | Path) -> ModelT:
    """Read a configuration file into a model; bare numbers for dimensional quantities are refused.

    Parameters
    ----------
    model
        A pydantic model, or any type that `pydantic.TypeAdapter` takes (such as a discriminated union).
    folder
        Where shipped files of this sort live: ``"protocols"``, ``"scanners"``, ``"limits"``, ``"phantoms"``.
    name_or_path
        A path or a shipped name.

    Raises
    ------
    ConfigError
        With one line for each mistake: file, key, what is wrong.
    """
    path = find_config(folder, name_or_path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise ConfigError(f"{path}: {found}: a configuration is a list of 'key: value' lines")
    checked: ModelT = validate(model, content, str(path), units_required=True)
    return checked


def validate(model: type[ModelT] | Any, value: object, source: str, *, units_required: bool = False) -> ModelT:
    """Validate `value` against `model`; mistakes become one `ConfigError` that names `source`.

    Parameters
    ----------
    model
        A pydantic model or any type that `pydantic.TypeAdapter` takes.
    value
        Plain data, as read from YAML or JSON.
    source
        What to call it in a message: usually a path.
    units_required
        Refuse bare numbers for dimensional quantities.
    """
    try:
        adapter: TypeAdapter[ModelT] = TypeAdapter(model)
        return adapter.validate_python(value, context={UNITS_REQUIRED: units_required})
    except ValidationError as error:
        raise ConfigError(_describe(error, source)) from error


def _describe(error: ValidationError, source: str) -> str:
    lines = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key: remove it or correct its spelling"
        elif item["type"] == "missing":
            message = "is missing"
        lines.append(f"{source}: {place}: {message}")
    return "\n".join(lines)


def as_plain(model: BaseModel) -> dict[str, Any]:
    """Turn a model into plain JSON data in SI units, to be read back with `validate`."""
    plain: dict[str, Any] = model.model_dump(mode="json")
    return plain
