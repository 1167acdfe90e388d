"""Tell people how a night goes: messages through any service, a heartbeat file, a ping that misses when we are dead.

Nothing here can hold the scanner up: every service and the ping have a thread and a short queue of their own, and what
cannot be delivered is logged, journaled and forgotten. The addresses are secrets: they live in a file beside the runs,
never in one.
"""

from knightshift.acquisition.notifications.config import (
    HeartbeatConfig,
    NotificationConfig,
    PingConfig,
    load_notifications,
)
from knightshift.acquisition.notifications.herald import Herald
from knightshift.acquisition.notifications.messages import Message, Topic
from knightshift.acquisition.notifications.outbox import Failure

__all__ = [
    "Failure",
    "HeartbeatConfig",
    "Herald",
    "Message",
    "NotificationConfig",
    "PingConfig",
    "Topic",
    "load_notifications",
]
