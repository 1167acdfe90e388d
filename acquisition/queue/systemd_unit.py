"""The systemd unit that keeps a scheduler running, and starts it again after a crash or a power cut."""

from __future__ import annotations

import shlex
from pathlib import Path

STOP_PATIENCE = 180
"""Seconds that systemd waits for a scan to finish its pass before it kills."""

_TEMPLATE = """\
# Written by `knightshift install-service`. The scheduler of one scanner: it plays the queue, night after night.
[Unit]
Description=knightshift scheduler of scanner {scanner}
Documentation=https://knightshift.readthedocs.io
After=network.target time-sync.target

[Service]
Type=exec
ExecStart={command}
WorkingDirectory={directory}
# Stopping: SIGTERM lets the pass end (it is kept, and the scan goes on at the next start); then, after the patience
# below, SIGKILL. Either way nothing committed is lost.
KillSignal=SIGTERM
TimeoutStopSec={patience}
# A crash starts it again after ten seconds; an interrupted scan goes on by its own policy, and one that is interrupted
# three times in a row without a new pass waits for a person. Bad input or a second scheduler (exit code 2) will not get
# better by itself.
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
# Scans must not miss a readout because of other work on the computer.
Nice=-5
OOMScoreAdjust=-500
{environment}
[Install]
WantedBy={target}
"""


def systemd_unit(
    command: list[str], scanner: str, directory: Path, *, environment: dict[str, str], system: bool
) -> str:
    """Write the text of a unit.

    Parameters
    ----------
    command
        What to run, with absolute paths.
    scanner
        For people.
    directory
        Where it runs.
    environment
        Variables to set.
    system
        A unit of the computer, or of one user (whose units may not raise their priority: those lines are left out).
    """
    lines = "".join(f"Environment={shlex.quote(f'{name}={value}')}\n" for name, value in environment.items())
    text = _TEMPLATE.format(
        scanner=scanner,
        command=" ".join(shlex.quote(word).replace("%", "%%") for word in command),
        directory=str(directory).replace("%", "%%"),
        patience=STOP_PATIENCE,
        environment=lines,
        target="multi-user.target" if system else "default.target",
    )
    if system:
        return text
    privileged = ("Nice=", "OOMScoreAdjust=", "# Scans must not")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(privileged))
