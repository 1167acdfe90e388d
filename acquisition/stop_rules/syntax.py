"""Stop rules as people write them: ``snr of echo 5 in box z=[-0.4 mm, 0.1 mm], y=[0 mm, 0.3 mm] >= 4``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from knightshift.acquisition.stop_rules.rules import BoxRegion, MaskRegion, SnrRule, StopRules, T2StdRule
from knightshift.core.errors import ConfigError, InputError
from knightshift.core.quantities import to_si
from knightshift.core.yaml_files import read_yaml, validate

AnyRule: TypeAlias = SnrRule | T2StdRule
AnyRegion: TypeAlias = BoxRegion | MaskRegion

EXAMPLE = "snr of echo 5 in box z=[-0.4 mm, 0.1 mm], y=[-0.2 mm, 0.3 mm] >= 4"
"""A rule that is right."""

_RULE = re.compile(
    r"(?P<measure>.+?)\s+in\s+(?P<region>.+?)\s*(?P<comparison>>=|<=|≥|≤)\s*(?P<goal>[^<>=≤≥]+)", re.DOTALL
)
_SNR = re.compile(r"snr\s+of\s+echo\s+(\d{1,4})", re.IGNORECASE)
_T2_STD = re.compile(r"(?:(median|pooled)\s+)?(?:t2\s+std|(?:sigma|σ)\(t2\))", re.IGNORECASE)
_SIDE = re.compile(r"\s*([xyz])\s*=\s*\[([^\],]+),([^\],]+)\]\s*(,|$)", re.IGNORECASE)
_NAMED = re.compile(
    r"(electrodes|bulk|(?:electrode|part) \d{1,3}|(?:dendrite|isolated region)(?: \d{1,3})?)\s+of\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)


def parse_rule(text: str, folder: Path = Path()) -> AnyRule:
    """Read one rule.

    Parameters
    ----------
    text
        ``MEASURE in REGION >= NUMBER``: ``snr of echo N``, ``t2 std`` (of a voxel, the median over the region) or
        ``pooled t2 std``; ``box z=[a, b], y=[c, d]`` with units, ``mask FILE`` (NIfTI or npy), or a region that an
        earlier report has found, ``dendrite of FOLDER``.
    folder
        What the names of files are relative to.

    Raises
    ------
    InputError
        If it is not a rule, or a file in it cannot be used.
    """
    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a stop rule: write e.g. {EXAMPLE!r}")
    measure, goal = match["measure"].strip(), match["goal"].strip()
    wanted = ">=" if match["comparison"] in (">=", "≥") else "<="
    try:
        region = parse_region(match["region"].strip(), folder)
        if snr := _SNR.fullmatch(measure):
            _must_compare(text, wanted, ">=")
            return SnrRule(echo=int(snr[1]), region=region, at_least=_number(goal))
        if t2_std := _T2_STD.fullmatch(measure):
            _must_compare(text, wanted, "<=")
            return T2StdRule.model_validate(
                {"statistic": (t2_std[1] or "median").lower(), "region": region, "at_most": _si(goal, "s")}
            )
    except ValidationError as error:
        words = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise InputError(f"stop rule {text!r}: {words}") from error
    raise InputError(
        f"stop rule {text!r}: {measure!r} is nothing that is measured: 'snr of echo 5', 't2 std' or 'pooled t2 std'"
    )


def parse_region(text: str, folder: Path = Path()) -> AnyRegion:
    """Read a region, as in `parse_rule`. Raises `InputError`, or `pydantic.ValidationError` for an empty box."""
    word, _, rest = text.partition(" ")
    if word.lower() == "box":
        return BoxRegion.model_validate(_sides(rest, text))
    from knightshift.acquisition.stop_rules.masks import region_of_mask_file, region_of_results

    if word.lower() == "mask" and rest.strip():
        return region_of_mask_file(folder / rest.strip())
    if named := _NAMED.fullmatch(text):
        return region_of_results(named[1].lower(), folder / named[2].strip())
    raise InputError(
        f"{text!r} is no region: write e.g. 'box z=[-0.4 mm, 0.1 mm]', 'mask cell.nii.gz' or 'dendrite of report'"
    )


def _sides(text: str, whole: str) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    position = 0
    while match := _SIDE.match(text, position):
        axis = match[1].lower()
        if axis in sides:
            raise InputError(f"{whole!r}: {axis} is given twice")
        sides[axis] = (_si(match[2], "m"), _si(match[3], "m"))
        position = match.end()
    if not sides or text[position:].strip():
        raise InputError(f"{whole!r} is no box: write e.g. 'box z=[-0.4 mm, 0.1 mm], y=[0 mm, 0.3 mm]'")
    return sides


def _must_compare(text: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise InputError(f"stop rule {text!r} would be met from the start: write {wanted} instead of {found}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number: an SNR has no unit, write e.g. 4") from None


def _si(text: str, unit: str) -> Any:
    try:
        return to_si(text.strip(), unit, units_required=True)
    except ValueError as error:
        raise InputError(str(error)) from error


def parse_rules(texts: Sequence[str], minimum_passes: int = 1, folder: Path = Path()) -> StopRules:
    """Read rules that have to be met together. Raises `InputError` as `parse_rule`."""
    return StopRules(rules=tuple(parse_rule(text, folder) for text in texts), minimum_passes=minimum_passes)


class _RuleFile(BaseModel):
    """A YAML file of stop rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_when: tuple[str, ...] = Field(min_length=1)
    minimum_passes: PositiveInt = 1


def read_rules(path: Path) -> StopRules:
    """Read a YAML file with ``stop_when``, a list of rules, and perhaps ``minimum_passes``.

    Names of files in a rule are relative to the file.

    Raises
    ------
    ConfigError
        If it is not such a file; the message names each mistake.
    """
    written: _RuleFile = validate(_RuleFile, read_yaml(path), str(path))
    try:
        return parse_rules(written.stop_when, written.minimum_passes, path.parent)
    except InputError as error:
        raise ConfigError(f"{path}: stop_when: {error}") from error
