"""Monitors over serial lines: helium and nitrogen levels, temperatures, chillers, and a TTL trigger.

A site file names them (`MonitorsConfig`), a `MonitorPoller` reads them beside the acquisition, interlocks
(`knightshift.hardware.monitors.interlocks`) judge the readings. See docs/reference/monitors.md.
"""

from knightshift.hardware.monitors.configuration import Monitoring, MonitorsConfig
from knightshift.hardware.monitors.poller import MonitorPoller, PolledMonitor
from knightshift.hardware.monitors.reading import Reading, Severity
from knightshift.hardware.monitors.serial_monitor import Monitor, SerialMonitor
from knightshift.hardware.monitors.transport import LinkSettings, Transport
from knightshift.hardware.monitors.watch import SiteWatch

__all__ = [
    "LinkSettings",
    "Monitor",
    "MonitorPoller",
    "Monitoring",
    "MonitorsConfig",
    "PolledMonitor",
    "Reading",
    "SerialMonitor",
    "Severity",
    "SiteWatch",
    "Transport",
]
