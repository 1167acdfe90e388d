"""Reference pages made from the code itself: the command line, every YAML file, the Python API."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator

import typer
from pydantic import BaseModel
from typer.cli import get_docs_for_click

from knightshift.cli.app import app
from knightshift.core.field_tables import field_table
from knightshift.core.limits import ScannerLimits
from knightshift.hardware.faults import FaultScript
from knightshift.hardware.monitors.configuration import MonitorsConfig
from knightshift.hardware.remote.settings import RemoteSettings
from knightshift.hardware.replay.kspace_recording import RecordingDescription
from knightshift.hardware.replay.settings import ReplaySettings
from knightshift.hardware.simulated.phantom import Phantom
from knightshift.hardware.simulated.settings import SimulatorSettings
from knightshift.hardware.site import SiteConfig
from knightshift.reconstruction.recipe import Recipe
from knightshift.sequences import GradientEcho, MultiEchoSpinEcho, PulseAcquire, SpinEchoSeries

FILES: dict[str, tuple[type[BaseModel], ...]] = {
    "Site file (`--scanner`)": (SiteConfig,),
    "Settings of the backends (`settings:` of a site file)": (SimulatorSettings, ReplaySettings, RemoteSettings),
    "Limits (`configs/limits/`)": (ScannerLimits,),
    "Monitors (`configs/monitors/`)": (MonitorsConfig,),
    "Scripted faults (`configs/faults/`)": (FaultScript,),
    "Protocols (`configs/protocols/`)": (SpinEchoSeries, MultiEchoSpinEcho, GradientEcho, PulseAcquire),
    "Phantoms (`--phantom`)": (Phantom,),
    "Recipes (`--recipe`)": (Recipe,),
    "Recordings (`recording.yaml`)": (RecordingDescription,),
}
"""Every kind of YAML file, and the models that it is read into."""

_API = (
    ("Names of `import knightshift as ks`", ("knightshift.api.runs.open_run", "knightshift.api.scans.open_scan")),
    ("What they return", ("knightshift.api.runs.RunData", "knightshift.api.scans.ScanData")),
    ("Choices", (
        "knightshift.reconstruction.recipe.Recipe", "knightshift.reconstruction.relaxometry.options.T2Options",
    )),
    ("Relaxometry", (
        "knightshift.reconstruction.relaxometry.fit", "knightshift.reconstruction.relaxometry.result",
        "knightshift.reconstruction.relaxometry.populations", "knightshift.reconstruction.relaxometry.pooled",
    )),
    ("Images and raw data", (
        "knightshift.reconstruction.images", "knightshift.reconstruction.kspace",
        "knightshift.reconstruction.fid_series", "knightshift.core.geometry",
    )),
    ("Exports", ("knightshift.reconstruction.export.formats", "knightshift.reconstruction.batch.run_batch")),
    ("Errors", ("knightshift.core.errors",)),
)  # fmt: skip


def command_line() -> str:
    """Every command with its arguments and options, as its own help has them."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="knightshift")
    page: str = get_docs_for_click(obj=command, ctx=context, name="knightshift", title="Commands and options")
    return page


def yaml_files() -> str:
    """Every field of every YAML file with unit, default and meaning."""
    lines = [
        "# Every field of every YAML file",
        "",
        'Made from the models that read the files. A quantity is written with its unit (`"12 ms"`); a bare number is '
        "refused, and so is a key that is not here. `unit` is an example of one that will do.",
        "",
    ]
    for title, roots in FILES.items():
        lines += [f"## {title}", ""]
        for model in _with_parts(roots):
            lines += [f"### `{model.__name__}`", "", inspect.getdoc(model) or "", "", *field_table(model), ""]
    return "\n".join(lines)


def python_objects() -> str:
    """Directives that make pages of the docstrings."""
    lines = ["# Functions and classes", ""]
    for title, names in _API:
        lines += [f"## {title}", ""]
        for name in names:
            lines += [f"::: {name}", ""]
    return "\n".join(lines)


def _with_parts(roots: tuple[type[BaseModel], ...]) -> Iterator[type[BaseModel]]:
    """Models in reading order: each before those that its fields hold, none twice."""
    seen: set[type[BaseModel]] = set()
    waiting = list(roots)
    while waiting:
        model = waiting.pop(0)
        if model not in seen:
            seen.add(model)
            yield model
            waiting[:0] = [part for field in model.model_fields.values() for part in _models_in(field.annotation)]


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models_in(part)


PAGES = {
    "reference/command-line.md": command_line,
    "reference/yaml-files.md": yaml_files,
    "reference/python-objects.md": python_objects,
}
"""Made when the site is built, so that they cannot fall behind."""
