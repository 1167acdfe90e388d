"""A tiny run beside services that answer, hang or refuse: it is told, and never waits."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_scanner import FakeScanner, measurement
from watched_night import ScriptedClock, site, warm_in, watched

from knightshift.acquisition import AcquisitionOptions, ProgressEvent, RunResult, StopRequest, acquire
from knightshift.acquisition.notifications import Herald, NotificationConfig, load_notifications
from knightshift.acquisition.queue import Job, JobControl, JobKind, JobRequest, JobState, ScanTask
from knightshift.acquisition.queue.scan_executor import PreparedScan, ScanExecutor
from knightshift.acquisition.queue.work import StopCause
from knightshift.core.clock import VirtualClock
from knightshift.core.errors import ReadoutTimeoutError, ScannerFault, StorageError
from knightshift.core.manifest import RunSetup
from knightshift.core.run_folder import open_run
from knightshift.hardware.monitors.emulated import unplug_all

from .conftest import SECRET, Sink, until

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


@pytest.fixture(autouse=True)
def _devices_of_its_own() -> Iterator[None]:
    yield
    unplug_all()


def told_run(
    runs: Path,
    herald: Herald,
    *,
    on_progress: Callable[[ProgressEvent], None] = lambda _event: None,
    stop: StopRequest | None = None,
    **scanner: Any,
) -> RunResult:
    """Acquire six tiny passes beside a herald, as the command line does."""
    clock = VirtualClock()
    options = AcquisitionOptions(run_name="night", disk_margin=0, stop=stop or StopRequest())
    with herald:
        result = acquire(
            measurement(6), FakeScanner(clock, **scanner), runs, setup=RunSetup(clock="virtual", seed=1), clock=clock,
            options=herald.joined(options), on_progress=herald.watching(on_progress),
        )  # fmt: skip
        herald.ended(result)
    return result


def configured(config_file: Callable[..., Path], **content: Any) -> NotificationConfig:
    return load_notifications(config_file(**{"timeout": "2 s", "patience": "5 s", **content}))


def failures(run: Path) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in open_run(run).events() if event.event == "notification_failed"]


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_beginning_and_end_are_told_the_end_with_a_picture(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes(PNG)
    asked: list[Path] = []

    def make(run: Path) -> Path:
        asked.append(run)
        return picture

    result = told_run(tmp_path / "runs", Herald(configured(config_file, services=[sink.service]), make))
    assert sink.titles == ["started", "done"]
    assert sink.attachments("started") == []
    assert sink.attachments("done") == [PNG]
    assert asked == [result.path]
    assert "6 of 6 passes" in sink.messages[1]["message"]
    assert failures(result.path) == []


def test_a_suspension_is_told_with_its_interlock(sink: Sink, config_file: Callable[..., Path], tmp_path: Path) -> None:
    with Herald(configured(config_file, services=[sink.service])) as herald:
        clock = ScriptedClock(warm_in((30, 50)))
        result, _ = watched(tmp_path / "runs", clock, site("suspend"), on_progress=herald.saw)
        herald.ended(result)
    assert sink.titles == ["started", "suspended", "resumed", "done"]
    assert "probe_warm: probe.temperature" in sink.messages[1]["message"]


def test_a_stop_is_told_with_its_reason_and_the_command_that_continues(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    stop = StopRequest()
    herald = Herald(configured(config_file, services=[sink.service]))
    result = told_run(
        tmp_path / "runs", herald, stop=stop, on_progress=lambda _event: stop.request_after_pass("SIGTERM")
    )
    assert sink.titles[-1] == "stopped"
    assert "Stopped by: SIGTERM" in sink.messages[-1]["message"]
    assert result.resume_command in sink.messages[-1]["message"]


def test_a_fault_is_told_with_what_to_do(sink: Sink, config_file: Callable[..., Path], tmp_path: Path) -> None:
    latched = ScannerFault("the transmitter tripped: switch it on again", "fake", transient=False)
    with pytest.raises(ScannerFault):
        told_run(tmp_path / "runs", Herald(configured(config_file, services=[sink.service])), faults={3: [latched]})
    assert sink.titles == ["started", "fault"]
    assert "the transmitter tripped: switch it on again" in sink.messages[-1]["message"]
    assert "knightshift resume" in sink.messages[-1]["message"]


def test_what_was_not_asked_for_is_not_told(sink: Sink, config_file: Callable[..., Path], tmp_path: Path) -> None:
    repeated = {2: [ReadoutTimeoutError("readout 2 did not come", "fake")]}
    told_run(tmp_path / "a", Herald(configured(config_file, services=[sink.service])), faults={2: list(repeated[2])})
    assert sink.titles == ["started", "done"]
    wish = configured(config_file, services=[sink.service], tell=["repeated"])
    told_run(tmp_path / "b", Herald(wish), faults=repeated)
    assert sink.titles[2:] == ["repeated"]


def test_a_service_that_hangs_costs_the_run_nothing_and_is_journaled(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    """The service takes the connection and never answers: with it, six passes take as long as without."""
    sink.hang()
    longest: list[float] = []
    last = [time.monotonic()]

    def watch(_event: ProgressEvent) -> None:
        longest.append(time.monotonic() - last[0])
        last[0] = time.monotonic()

    herald = Herald(configured(config_file, services=[sink.service], timeout="20 s", patience="300 ms"))
    began = time.monotonic()
    result = told_run(tmp_path / "runs", herald, on_progress=watch)
    assert max(longest) < 2.0  # the service would have held each message for twenty seconds
    assert time.monotonic() - began < 6.0
    assert result.n_committed == 6
    assert {one["message"] for one in failures(result.path)} == {"started", "done"}
    assert all("no answer" in one["problem"] for one in failures(result.path))


def test_a_service_that_hangs_holds_no_other_up(config_file: Callable[..., Path], tmp_path: Path) -> None:
    slow, good = Sink(), Sink()
    slow.hang()
    try:
        config = configured(config_file, services=[slow.service, good.service], timeout="20 s", patience="1 s")
        result = told_run(tmp_path / "runs", Herald(config))
        assert good.titles == ["started", "done"]
        assert {one["service"] for one in failures(result.path)} == {"1 (json)"}
    finally:
        slow.close()
        good.close()


def test_a_service_that_refuses_is_journaled_while_the_run_goes_on(
    config_file: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(config_file, services=[f"json://user:{SECRET}@127.0.0.1:{closed_port()}/{SECRET}"])
    herald = Herald(config)

    def wait_for_the_refusal(event: ProgressEvent) -> None:
        if event.n_committed == 1:
            until(lambda: "not told: started" in caplog.text)

    with caplog.at_level(logging.DEBUG):
        result = told_run(tmp_path / "runs", herald, on_progress=wait_for_the_refusal)
    events = [event.event for event in open_run(result.path).events()]
    assert [one["message"] for one in failures(result.path)] == ["started", "done"]
    assert events.index("notification_failed") < events.index("ended") < len(events) - 1
    assert "not told: started, to service 1 (json)" in caplog.text
    assert SECRET not in caplog.text


def test_no_secret_enters_the_run(sink: Sink, config_file: Callable[..., Path], tmp_path: Path) -> None:
    sink.status = 500
    beat = {"file": "beat.json", "ping": {"url": sink.url}}
    config = configured(config_file, services=[sink.service], heartbeat=beat)
    result = told_run(tmp_path / "runs", Herald(config))
    assert {one["message"] for one in failures(result.path)} == {"started", "done", "ping"}
    written = [path for path in (*result.path.rglob("*"), tmp_path / "beat.json") if path.is_file()]
    assert len(written) > 8
    assert all(SECRET.encode() not in path.read_bytes() for path in written)


def test_a_journal_that_cannot_be_written_is_no_second_fault(
    config_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full at the end of the run: what was not told is logged, and the result stands."""
    config = configured(config_file, services=[f"json://127.0.0.1:{closed_port()}"], tell=["done"])

    def full(*_arguments: object, **_more: object) -> None:
        raise StorageError("the disk is full")

    herald, clock = Herald(config), VirtualClock()
    with herald:
        result = acquire(
            measurement(2), FakeScanner(clock), tmp_path / "runs", setup=RunSetup(clock="virtual"), clock=clock,
            options=AcquisitionOptions(disk_margin=0), on_progress=herald.watching(lambda _event: None),
        )  # fmt: skip
        herald.ended(result)
        monkeypatch.setattr("knightshift.acquisition.notifications.herald.RunWriter", full)
    assert "could not be journaled" in caplog.text


def test_nobody_to_tell_changes_nothing(tmp_path: Path) -> None:
    herald = Herald(None)
    options = AcquisitionOptions()
    assert herald.joined(options) is options
    assert told_run(tmp_path / "runs", herald).n_committed == 6


def test_messages_are_plain_json_with_hostile_names_in_them(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    hostile = '<script>alert("1")</script>'
    latched = ScannerFault(hostile, "fake", transient=False)
    with pytest.raises(ScannerFault):
        told_run(tmp_path / "runs", Herald(configured(config_file, services=[sink.service])), faults={1: [latched]})
    assert hostile in json.dumps(sink.messages[-1], ensure_ascii=False).replace('\\"', '"')


def test_the_queue_tells_of_its_scans_and_of_those_that_go_on(
    sink: Sink, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    """One job, stopped after its first pass and continued: the executor of the scanner's lane does both."""
    config, clock = configured(config_file, services=[sink.service]), VirtualClock()
    executor = ScanExecutor(
        lambda _job: PreparedScan(measurement(4), FakeScanner(clock), RunSetup(clock="virtual", seed=1), clock),
        lambda _run: (FakeScanner(clock), clock),
        AcquisitionOptions(disk_margin=0),
        telling=lambda continued: Herald(config, continued=continued),
    )
    task = ScanTask(protocol={"name": "tiny"}, runs=str(tmp_path / "runs"), average_s=48.0, averages=2)
    request = JobRequest(name="tiny", kind=JobKind.SCAN, scan=task)
    job = Job(number=1, request=request, state=JobState.RUNNING, place=1.0, run_name="night")
    control = JobControl()
    control.ask(StopCause.SERVICE)
    assert not executor(job, control).complete
    assert executor(job, JobControl()).complete
    assert sink.titles == ["started", "stopped", "continued", "done"]
