"""Whole batches on a real cluster of two processes on loopback, one of them killed midway."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from knightshift.core.errors import HardwareError
from knightshift.reconstruction.batch import BatchOptions, BatchReport, ItemRecord, run_batch
from knightshift.reconstruction.batch.cluster import open_cluster
from knightshift.reconstruction.export.images_file import write_images_in_slabs
from knightshift.reconstruction.relaxometry import fit_series

from .test_items import fids
from .test_volume import assert_same_map, slabs, volume

distributed = pytest.importorskip("distributed", reason="the extra 'batch' is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::ResourceWarning")]

WriteRun = Callable[[Path, int], Path]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two processes of this machine, as the command starts them."""
    with open_cluster(None, 2) as client:
        yield client


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory,
    write_run: WriteRun,
    break_run: dict[str, Callable[[Path], None]],
    write_broken_scan: Callable[[Path, str], Path],
) -> Path:
    """190 runs that read, and ten broken items."""
    folder = tmp_path_factory.mktemp("large") / "archive"
    for number in range(190):
        write_run(folder / f"day{number // 20}" / f"run{number:03}", number)
    for number, break_it in enumerate(break_run.values()):
        break_it(write_run(folder / "broken" / f"run{number}", number))
    write_broken_scan(folder / "broken" / "scan8", "no method")
    write_broken_scan(folder / "broken" / "scan9", "half the samples")
    return folder


def test_of_200_scans_with_ten_broken_ones_190_have_a_map_and_a_restart_does_nothing_twice(
    client: Any, archive: Path, tmp_path: Path
) -> None:
    report = run_batch(client, (archive,), tmp_path, BatchOptions())
    assert (len(report.items), report.count("done"), report.count("failed"), report.count("crashed")) == (
        200,
        190,
        10,
        0,
    )
    assert len(list(tmp_path.rglob("t2_map.nii.gz"))) == 190
    for item in report.errors:
        assert "/broken/" in item.name
        assert item.error is not None
        assert item.error.message.startswith(item.source)
    medians = [time.value for item in report.items for time in item.times if time.value is not None]
    assert np.median(medians) == pytest.approx(8e-3, rel=0.03)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = run_batch(client, (archive,), tmp_path, BatchOptions())
    assert not any(item.repeated for item in again.items)
    assert [item.status for item in again.items] == [item.status for item in report.items]
    tables = {tmp_path / "batch.json", tmp_path / "batch.csv"}
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p not in tables} == {
        p: stamp for p, stamp in stamps.items() if p not in tables
    }
    assert BatchReport.model_validate_json((tmp_path / "batch.json").read_bytes()) == again
    assert len((tmp_path / "batch.csv").read_text().splitlines()) == 201


def test_the_work_of_a_killed_worker_is_done_by_the_other(write_run: WriteRun, tmp_path: Path) -> None:
    """A cluster that is there already, given by its address on loopback."""
    for number in range(40):
        write_run(tmp_path / "archive" / f"run{number}", number)
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster, open_cluster(cluster.scheduler_address, 99) as client:  # fmt: skip
        first, second = client.run(os.getpid).values()

        def kill_one(finished: int, _total: int, _record: ItemRecord) -> None:
            if finished == 10:
                os.kill(first, signal.SIGKILL)
                killed.append(first)

        report = run_batch(client, (tmp_path / "archive",), tmp_path / "out", BatchOptions(), kill_one)
        assert second in client.run(os.getpid).values()
    assert killed == [first]
    assert report.count("done") == 40
    assert len([path for path in (tmp_path / "out" / "archive").iterdir() if not path.name.startswith(".")]) == 40


_SCHEDULER = """\
import time
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        time.sleep(300)
"""


def test_a_cluster_that_goes_away_is_one_clear_error_and_what_is_done_is_kept(
    write_run: WriteRun, tmp_path: Path
) -> None:
    for number in range(30):
        write_run(tmp_path / "archive" / f"run{number}", number)
    (tmp_path / "scheduler.py").write_text(_SCHEDULER)
    command = [sys.executable, tmp_path / "scheduler.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        def kill_it(finished: int, _total: int, _record: ItemRecord) -> None:
            if finished == 3:
                os.killpg(process.pid, signal.SIGKILL)

        try:
            with pytest.raises(HardwareError, match="cluster is gone"), open_cluster(address, 1) as client:
                run_batch(client, (tmp_path / "archive",), tmp_path / "out", BatchOptions(), kill_it)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert len(list((tmp_path / "out").rglob("item.json"))) >= 3


def test_nobody_without_the_certificates_gets_work_done(client: Any) -> None:
    address = client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises((OSError, TypeError, ValueError)):
        distributed.Client(address, timeout="2s")
    with pytest.raises(OSError):  # noqa: PT011 - refused at once or timed out, as the machine has it
        distributed.Client(address.replace("tls://", "tcp://"), timeout="2s")


def test_a_volume_is_fitted_in_slabs_on_the_workers_as_it_would_be_whole(client: Any, tmp_path: Path) -> None:
    series = volume(90)
    write_images_in_slabs(slabs(series, 7), 90, tmp_path / "images.h5")
    options = BatchOptions(memory=1 << 20)
    (record,) = run_batch(client, (tmp_path / "images.h5",), tmp_path / "out", options).items
    assert (record.status, record.result) == ("done", "T2 map")
    expected = fit_series(series)
    with h5py.File(tmp_path / "out" / "images.h5" / "t2_maps.h5") as file:
        assert_same_map(file, expected)
        assert file["t2"].attrs["units"] == "s"
    assert record.times[0].n_voxels == int(expected.ok.sum())
    (again,) = run_batch(client, (tmp_path / "images.h5",), tmp_path / "out", options).items
    assert not again.repeated


def test_the_command_tells_progress_errors_and_where_the_table_is(write_run: WriteRun, tmp_path: Path) -> None:
    write_run(tmp_path / "archive" / "good", 1)
    (write_run(tmp_path / "archive" / "bad", 2) / "passes" / "p000000.h5").unlink()
    code = "if __name__ == '__main__':\n    from knightshift.cli import main\n    main()\n"
    (tmp_path / "main.py").write_text(code)
    command = [
        sys.executable,
        tmp_path / "main.py",
        "batch",
        tmp_path / "archive",
        "-o",
        tmp_path / "out",
        "--workers",
        "1",
        "--experiment",
        "T2",
        "--delays",
        "1 ms, 2 ms",
    ]
    fids(tmp_path / "archive")
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1, result.stderr
    words = " ".join(result.stdout.split())
    assert "3 items: 2 done (1 not fitted), 1 without a result, 0 known from before" in words
    assert "archive/bad: DamagedDataError: passes/p000000.h5" in words
    assert "archive/fids.yaml: fids.npy: 2 delays for 7 steps" in words
    assert "Traceback" not in result.stderr
