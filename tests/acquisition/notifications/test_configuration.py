"""Whom to tell: read strictly, and no word of it is ever shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knightshift.acquisition.notifications import Herald, PingConfig, Topic, load_notifications
from knightshift.core.errors import ConfigError

from .conftest import SECRET


def test_a_full_configuration_is_read_with_its_units_and_hides_its_secrets(config_file: Callable[..., Path]) -> None:
    path = config_file(
        services=[f"json://127.0.0.1/{SECRET}"],
        tell=["done", "fault"],
        timeout="2 s",
        heartbeat={"file": "beat.json", "every": "2 min", "ping": {"url": f"https://hc.example/{SECRET}"}},
    )
    config = load_notifications(path)
    assert config.tell == (Topic.DONE, Topic.FAULT)
    assert config.timeout == 2.0
    assert config.heartbeat is not None
    assert config.heartbeat.every == 120.0
    assert config.heartbeat.file == path.parent / "beat.json"
    assert SECRET not in repr(config)
    assert SECRET not in config.model_dump_json()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"timeout": 5}, "timeout"),
        ({"service": []}, "service"),
        ({"tell": ["everything"]}, "tell"),
        ({"heartbeat": {"ping": {"url": f"file:///{SECRET}"}}}, "heartbeat.ping.url"),
        ({"heartbeat": {"ping": {"url": f"ftp://host/{SECRET}"}}}, "heartbeat.ping.url"),
        ({"heartbeat": {"ping": {"url": SECRET}}}, "heartbeat.ping.url"),
        ({"services": [f"json://host/{SECRET}"] * 11}, "services"),
    ],
)
def test_a_mistake_is_named_without_the_address(
    config_file: Callable[..., Path], content: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named) as raised:
        load_notifications(config_file(**content))
    assert SECRET not in str(raised.value)


def test_broken_yaml_is_told_by_its_line_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "notify.yaml"
    path.write_text(f'timeout: "5 s"\nservices: [json://host/{SECRET}\nheartbeat: ]: [\n')
    with pytest.raises(ConfigError, match="line") as raised:
        load_notifications(path)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_service_that_nobody_knows_is_refused_before_anything_is_played(config_file: Callable[..., Path]) -> None:
    config = load_notifications(config_file(services=["json://127.0.0.1/x", f"nosuchservice://{SECRET}"]))
    with pytest.raises(ConfigError, match="number 2") as raised:
        Herald(config)
    assert SECRET not in str(raised.value)


def test_a_file_that_others_may_read_warns(config_file: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    path = config_file(timeout="1 s")
    with caplog.at_level(logging.WARNING):
        load_notifications(path)
        assert not caplog.records
        path.chmod(0o640)
        load_notifications(path)
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize(
    ("url", "style", "word", "expected"),
    [
        ("https://hc.example/uuid", "healthchecks", "start", "https://hc.example/uuid/start"),
        ("https://hc.example/uuid/", "healthchecks", "fail", "https://hc.example/uuid/fail"),
        ("https://hc.example/uuid?rid=1", "healthchecks", "fail", "https://hc.example/uuid/fail?rid=1"),
        ("https://hc.example/uuid", "healthchecks", "ok", "https://hc.example/uuid"),
        ("https://push.example/x?status=up", "plain", "start", "https://push.example/x?status=up"),
        ("https://push.example/x?status=up", "plain", "fail", None),
    ],
)
def test_a_beginning_and_a_failure_have_addresses_of_their_own(
    url: str, style: str, word: Any, expected: str | None
) -> None:
    assert PingConfig.model_validate({"url": url, "style": style}).address(word) == expected
