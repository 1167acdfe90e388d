"""Configuration files: found by name or path, hostile ones refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core.errors import ConfigError
from knightshift.core.limits import ScannerLimits
from knightshift.core.yaml_files import find_config, read_config, read_yaml, shipped_names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "key 'a' twice"),
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("? [1, 2]\n: 3\n", "a key must be a word"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("[1", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a" * 5_000_000)
    with pytest.raises(ConfigError, match="5000000 bytes"):
        read_yaml(path)


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("yaml") / "random.yaml"
    path.write_bytes(content)
    try:
        read_yaml(path)
    except ConfigError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_shipped_name_path_and_file_name_find_a_config(tmp_path: Path) -> None:
    own = tmp_path / "microimaging_9t4"
    own.write_text("mine")
    assert find_config("limits", own) == own
    assert find_config("limits", "microimaging_9t4").name == "microimaging_9t4.yaml"
    assert find_config("limits", "microimaging_9t4.yaml").name == "microimaging_9t4.yaml"


def test_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(ConfigError, match="microimaging_9t4"):
        find_config("limits", "microimagin")


def test_path_that_does_not_exist_is_not_taken_for_a_shipped_name() -> None:
    with pytest.raises(ConfigError, match="no file"):
        find_config("limits", "elsewhere/microimaging_9t4.yaml")


@pytest.mark.parametrize("name", shipped_names("limits"))
def test_shipped_limits_are_valid_and_say_what_is_assumed(name: str) -> None:
    limits: ScannerLimits = read_config(ScannerLimits, "limits", name)
    assert any("assumed" in note for note in limits.notes)


@pytest.mark.parametrize(("text", "found"), [("", "is empty"), ("- 1", "holds a list"), ("9.4", "holds a float")])
def test_file_without_keys_is_refused_in_words(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"odd.yaml: {found}"):
        read_config(ScannerLimits, "limits", path)
