"""`--notify`: who is told of a run, and the picture that goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from knightshift.acquisition.notifications import Herald, Message, NotificationConfig, Topic, load_notifications
from knightshift.core.errors import HardwareError


class UndeliveredError(HardwareError):
    """A test message did not reach a service."""


@contextmanager
def telling(notify: Path | None, *, continued: bool = False) -> Iterator[Herald]:
    """Tell of one run while the ``with`` lasts.

    Parameters
    ----------
    notify
        The configuration; None: nobody is told.
    continued
        Whether the run was begun by an earlier command.

    Raises
    ------
    ConfigError
        If the configuration is wrong: before anything is played.
    """
    config = None if notify is None else load_notifications(notify)
    with telling_by(config, continued=continued) as herald:
        yield herald


@contextmanager
def telling_by(config: NotificationConfig | None, *, continued: bool = False) -> Iterator[Herald]:
    """Do as `telling` does, with a configuration that was read before."""
    if config is None:
        yield Herald(None)
        return
    with (
        tempfile.TemporaryDirectory(prefix="knightshift-") as folder,
        Herald(config, lambda run: picture_of(run, Path(folder)), continued=continued) as herald,
    ):
        yield herald


def picture_of(run: Path, folder: Path) -> Path:
    """Draw the T2 map of the passes so far (with one echo time: the image) as a PNG in `folder`.

    Raises
    ------
    KnightshiftError
        If there are too few passes yet, or the run holds spectra.
    """
    from knightshift.core.durable import write_durably
    from knightshift.reconstruction.loading import load_series
    from knightshift.reconstruction.relaxometry import T2Options, fit_series, with_train
    from knightshift.reconstruction.report.chosen_voxels import slice_to_show
    from knightshift.reconstruction.report.comparison_section import t2_slice_of
    from knightshift.reconstruction.report.intensity_figures import intensity_figure
    from knightshift.reconstruction.report.style import render
    from knightshift.reconstruction.report.t2_figures import t2_map_figure, t2_range_of

    series = load_series(run)
    fit = fit_series(series, with_train(T2Options(), series)) if len(series.echo_times) > 1 else None
    if fit is None or not fit.ok.any():
        figure = intensity_figure(series)
    else:
        shown = t2_slice_of(series, fit, None, slice_to_show(fit, None))
        figure = t2_map_figure(shown, t2_range_of(fit.t2, fit.t2_std))
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as file:
        path = Path(file.name)
    write_durably(path, render(figure, "png"))
    return path


def send_test_message(notify: Path) -> None:
    """Send a message to every service of a configuration, and say who did not take it.

    Raises
    ------
    ConfigError
        If the configuration is wrong.
    UndeliveredError
        If a service did not take the message; it names the service.
    """
    from knightshift.acquisition.notifications.services import services_of

    config, console = load_notifications(notify), Console()
    message = Message(Topic.STARTED, "knightshift: a test", "If you read this, you will be told of your nights.")
    problems = []
    for name, send in services_of(config).items():
        problem = send(message)
        console.print(f"service {name}: {problem or 'told'}", highlight=False, markup=False)
        problems += [f"service {name}: {problem}"] if problem else []
    if config.heartbeat is not None and config.heartbeat.ping is not None:
        from knightshift.acquisition.notifications.ping import ping

        problem = ping(config.heartbeat.ping.url.get_secret_value(), config.heartbeat.ping.method, config.timeout)
        console.print(f"ping: {problem or 'answered'}", highlight=False, markup=False)
        problems += [f"ping: {problem}"] if problem else []
    if problems:
        raise UndeliveredError("; ".join(problems) + ": check address, network and firewall")
