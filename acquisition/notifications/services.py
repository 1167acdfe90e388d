"""Services that carry a message to people, by apprise (extra ``notify``), imported when there is one to use."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from knightshift.acquisition.notifications.config import NotificationConfig
from knightshift.acquisition.notifications.messages import Message, Topic
from knightshift.core.errors import ConfigError, KnightshiftError

_LOG = logging.getLogger(__name__)

_TALKATIVE = ("apprise", "urllib3", "requests_oauthlib")
"""Loggers of others, whose lines may hold an address or a token."""


def services_of(config: NotificationConfig) -> dict[str, Callable[[Message], str]]:
    """Make all services of a configuration, by name: their number and kind.

    Returns
    -------
    dict
        Delivers a message and gives the problem in words; empty if it was delivered.

    Raises
    ------
    ConfigError
        If apprise is not installed, or does not know an address; the message gives its number, not the address.
    """
    if not config.services:
        return {}
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # some of its hundred services use what Python will drop
        return dict(_named_sender(number, secret, config) for number, secret in enumerate(config.services, start=1))


def _named_sender(number: int, secret: SecretStr, config: NotificationConfig) -> tuple[str, Callable[[Message], str]]:
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            "notifications by services need apprise: pip install 'knightshift[notify]', or leave `services` out"
        ) from None
    asset = apprise.AppriseAsset(app_id="knightshift", app_desc="knightshift", async_mode=False, secure_logging=True)
    plugin: Any = apprise.Apprise.instantiate(secret.get_secret_value(), asset=asset)
    if plugin is None:
        raise ConfigError(f"services, number {number}: apprise does not know such an address: see its list of them")
    plugin.socket_connect_timeout = plugin.socket_read_timeout = config.timeout
    carrier = apprise.Apprise(asset=asset)
    carrier.add(plugin)
    return f"{number} ({str(plugin.service_name).lower()})", _sender(carrier)


def _sender(carrier: Any) -> Callable[[Message], str]:
    """Make a function that sends by one service. Apprise turns whatever goes wrong into False."""

    def send(message: Message) -> str:
        sent = carrier.notify(
            title=message.title,
            body=message.body,
            notify_type=_TYPES.get(message.topic, "info"),
            body_format="text",
            **_attachment(message),
        )
        return "" if sent else "it did not take the message"

    return send


def _attachment(message: Message) -> dict[str, str]:
    if message.picture is None:
        return {}
    try:
        picture = message.picture.path()
    except KnightshiftError as error:
        _LOG.info("no picture for message %r: %s", message.topic, error)
        return {}
    return {} if picture is None else {"attach": str(picture)}


_TYPES = {
    Topic.DONE: "success",
    Topic.FAULT: "failure",
    Topic.SUSPENDED: "warning",
    Topic.STOPPED: "warning",
    Topic.REPEATED: "warning",
}
