"""Whom to tell, and of what: a YAML file that lies outside every run, for its addresses are secrets."""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from knightshift.acquisition.notifications.messages import Topic
from knightshift.core.errors import ConfigError
from knightshift.core.quantities import PositiveSeconds
from knightshift.core.yaml_files import read_yaml, validate

_LOG = logging.getLogger(__name__)

_MOST_SERVICES = 10
_USUAL = tuple(topic for topic in Topic if topic is not Topic.REPEATED)


def _is_web_address(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an address that begins with http:// or https://")
    return secret


WebAddress = Annotated[SecretStr, AfterValidator(_is_web_address)]
"""An http or https address, which may hold a secret and is never shown."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PingConfig(_Section):
    """An address that is asked for at an interval; whoever is behind it raises the alarm when that ends."""

    url: WebAddress
    """The address."""
    style: Literal["healthchecks", "plain"] = "healthchecks"
    """``healthchecks``: ``/start`` and ``/fail`` behind the address tell a beginning and a failure, as healthchecks.io
    and its like take it. ``plain``: a beginning is a ping like any other, and a failure is silence."""
    method: Literal["GET", "POST"] = "GET"
    """How to ask."""

    def address(self, word: Literal["start", "ok", "fail"]) -> str | None:
        """Give the address for a beginning, a sign of life or a failure; None: stay silent."""
        plain = self.url.get_secret_value()
        if word == "ok":
            return plain
        if self.style == "plain":
            return plain if word == "start" else None
        parts = urlsplit(plain)
        path = f"{parts.path.rstrip('/')}/{word}"
        return urlunsplit(SplitResult(parts.scheme, parts.netloc, path, parts.query, ""))


class HeartbeatConfig(_Section):
    """Signs of life while a run goes on."""

    file: Path | None = None
    """Written anew at every beat; a relative path counts from the folder of the configuration."""
    ping: PingConfig | None = None
    """Address to ask for at every beat."""
    every: PositiveSeconds = 60.0
    """Time between two beats [s]."""
    stalled_after: PositiveSeconds = 1800.0
    """After so long without any step of the run, suspensions aside, the beats end and the ping tells a failure [s]."""


class NotificationConfig(_Section):
    """Whom to tell, and of what."""

    services: tuple[SecretStr, ...] = Field(default=(), max_length=_MOST_SERVICES)
    """Addresses in the form of apprise: ``mailto://…``, ``slack://…``, ``ntfy://…``, ``json://…``."""
    tell: tuple[Topic, ...] = _USUAL
    """What to tell; by default all but single passes that are played again."""
    picture: bool = True
    """Whether to add the T2 map, where there is one."""
    timeout: PositiveSeconds = 15.0
    """How long a service may take to connect, and to answer [s]."""
    patience: PositiveSeconds = 30.0
    """How long the command waits at its end for messages that are still under way [s]."""
    heartbeat: HeartbeatConfig | None = None
    """Signs of life; None: none."""


def load_notifications(path: Path) -> NotificationConfig:
    """Read whom to tell.

    A file that others may read is used, with a warning. No message ever holds what stands in the file.

    Parameters
    ----------
    path
        The YAML file.

    Raises
    ------
    ConfigError
        With one line for each mistake.
    """
    content = _read(path)
    config: NotificationConfig = validate(NotificationConfig, content, str(path), units_required=True)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _LOG.warning("%s can be read by others, and its addresses are secrets: chmod 600 %s", path, path)
    beat = config.heartbeat
    if beat is None or beat.file is None:
        return config
    placed = beat.model_copy(update={"file": path.resolve().parent / beat.file})
    return config.model_copy(update={"heartbeat": placed})


def _read(path: Path) -> dict[str, object]:
    try:
        content = read_yaml(path)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):  # whose words quote the line, and so perhaps a secret
            mark = getattr(error.__cause__, "problem_mark", None)
            where = f" near line {mark.line + 1}" if mark else ""
            raise ConfigError(f"{path}: is not valid YAML{where}") from None
        raise
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no list of 'key: value' lines: write e.g. services: [\"json://localhost\"]")
    return content
