"""`--notify` and `notify-test`, with a simulated scan of twelve small passes and its map."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from knightshift.cli.app import app
from knightshift.cli.telling import UndeliveredError, picture_of
from knightshift.core.errors import ConfigError, InputError
from knightshift.core.run_folder import open_run

from .conftest import SECRET, Sink

PROTOCOL = (Path(__file__).parents[2] / "small_protocol.yaml").read_text()


def acquire(folder: Path, **environment: str) -> None:
    """Run the command in this process, as it comes from the shell."""
    protocol = folder / "small.yaml"
    protocol.write_text(PROTOCOL)
    arguments = ["acquire", str(protocol), "--runs", str(folder / "runs"), "--virtual-clock", "--seed", "7"]
    CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)


def test_a_scan_is_told_with_its_map_and_leaves_no_address_behind(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    beat = {"file": "beat.json", "ping": {"url": sink.url}}
    config = config_file(services=[sink.service], timeout="5 s", heartbeat=beat)
    acquire(tmp_path, KNIGHTSHIFT_NOTIFY=str(config))
    assert sink.titles == ["started", "done"]
    (png,) = sink.attachments("done")
    with Image.open(BytesIO(png)) as image:
        image.load()
        assert image.width > 1000
    assert [path for path in sink.paths if path.startswith(f"/{SECRET}/s")] == [f"/{SECRET}/start"]
    (run,) = (tmp_path / "runs").iterdir()
    assert all(SECRET.encode() not in path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert [event.event for event in open_run(run).events()].count("notification_failed") == 0


def test_a_wrong_configuration_is_refused_before_anything_is_played(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="number 1"):
        acquire(tmp_path, KNIGHTSHIFT_NOTIFY=str(config_file(services=["nosuch://x"])))
    assert not (tmp_path / "runs").exists()


def test_a_test_message_names_the_service_that_did_not_take_it(sink: Sink, config_file: Callable[..., Path]) -> None:
    config = str(config_file(services=[sink.service], heartbeat={"ping": {"url": sink.url}}))
    told = CliRunner().invoke(app, ["notify-test", config], catch_exceptions=False)
    assert "service 1 (json): told" in told.stdout
    assert "ping: answered" in told.stdout
    sink.status = 403
    with pytest.raises(UndeliveredError, match=r"service 1 \(json\).*ping: it answered 403") as raised:
        CliRunner().invoke(app, ["notify-test", config], catch_exceptions=False)
    assert SECRET not in str(raised.value)
    assert raised.value.exit_code == 3


def test_a_run_without_a_whole_image_has_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        picture_of(tmp_path, tmp_path)
