"""Items of a batch, one by one and without a cluster: found, done once, and told clearly when broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import HardwareError, InputError
from knightshift.reconstruction.batch.cluster import open_cluster
from knightshift.reconstruction.batch.content_digest import content_digest
from knightshift.reconstruction.batch.discovery import find_items
from knightshift.reconstruction.batch.item import check_place, process_item
from knightshift.reconstruction.batch.records import BatchOptions, ItemRecord
from knightshift.reconstruction.relaxometry import T2Options

WriteRun = Callable[[Path, int], Path]
Break = dict[str, Callable[[Path], None]]
PLAIN = BatchOptions().model_dump_json()


def do(source: Path, output: Path, options: str = PLAIN) -> ItemRecord:
    return ItemRecord.model_validate_json(process_item("item", str(source), str(output), options))


def test_scans_are_found_wherever_they_lie_and_nothing_else(
    tmp_path: Path, write_run: WriteRun, write_broken_scan: Callable[[Path, str], Path]
) -> None:
    archive = tmp_path / "archive"
    write_run(archive / "2026" / "night1", 1)
    write_run(archive / "2026" / "night2", 2)
    write_broken_scan(archive / "mouse.Ab1" / "5", "no method")
    write_run(archive / ".night3.part", 3)  # being created
    (archive / "2026" / "link").symlink_to(archive / "2026" / "night1")
    (archive / "notes.txt").write_text("")
    (archive / "paper").mkdir()
    write_run(archive / "results" / "night9", 9)
    items = find_items((archive,), archive / "results")
    assert [item.name for item in items] == ["archive/2026/night1", "archive/2026/night2", "archive/mouse.Ab1/5"]
    (one,) = find_items((archive / "2026" / "night1",), tmp_path / "out")
    assert one.name == "night1"


def test_names_that_clash_and_archives_without_a_scan_are_refused(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(tmp_path / "a" / "night", 1)
    write_run(tmp_path / "b" / "night", 2)
    with pytest.raises(InputError, match="both called night"):
        find_items((tmp_path / "a" / "night", tmp_path / "b" / "night"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no scan was found"):
        find_items((tmp_path / "empty",), tmp_path / "out")
    with pytest.raises(InputError, match="no such"):
        find_items((tmp_path / "none",), tmp_path / "out")


def test_a_run_is_fitted_once_and_again_when_content_or_options_change(tmp_path: Path, write_run: WriteRun) -> None:
    run, out = write_run(tmp_path / "run", 1), tmp_path / "out"
    first = do(run, out)
    assert (first.status, first.result, first.repeated) == ("done", "T2 map", True)
    assert first.median_t2 == pytest.approx(8e-3, rel=0.2)
    made = (out / "item" / "t2_map.nii.gz").stat().st_mtime_ns
    second = do(run, out)
    assert not second.repeated
    assert second.median_t2 == first.median_t2
    assert (out / "item" / "t2_map.nii.gz").stat().st_mtime_ns == made
    gaussian = BatchOptions(fit=T2Options(estimator="gaussian", threads=1)).model_dump_json()
    assert do(run, out, gaussian).repeated
    with (run / "journal.jsonl").open("ab") as journal:
        journal.write(b"{")  # an event that is being written: it is no error, but the content is another
    assert do(run, out, gaussian).repeated
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("what", [
    "altered pass", "short pass", "missing pass", "altered manifest", "no manifest", "manifest of no run", "no journal",
    "altered journal",
])  # fmt: skip
def test_a_broken_run_is_one_clear_error_and_is_not_tried_again(
    tmp_path: Path, write_run: WriteRun, break_run: Break, what: str
) -> None:
    run, out = write_run(tmp_path / "run", 1), tmp_path / "out"
    break_run[what](run)
    (found,) = find_items((run,), out)
    record = do(found.source, out)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind in ("DamagedDataError", "ConfigError", "InputError", "UnsupportedDataError")
    assert str(run) in record.error.message
    assert not do(run, out).repeated
    assert [path.name for path in (out / "item").iterdir()] == ["item.json"]


def test_results_never_replace_what_no_batch_has_made(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run(tmp_path / "archive" / "run", 1)
    with pytest.raises(InputError, match="in the way"):
        check_place(run)
    with pytest.raises(InputError, match="in the way"):
        process_item("archive/run", str(run), str(tmp_path), PLAIN)
    assert (run / "passes" / "p000003.h5").is_file()


def test_the_digest_is_of_all_bytes_and_names_but_not_of_the_lock(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run(tmp_path / "run", 1)
    before = content_digest(run)
    (run / "run.lock").write_text("someone")
    (run / "derived").mkdir()
    (run / "derived" / "preview.png").write_bytes(b"1")
    assert content_digest(run) == before
    path = run / "passes" / "p000000.h5"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert content_digest(run) != before
    path.write_bytes(content)
    path.rename(run / "passes" / "q000000.h5")
    assert content_digest(run) != before


@pytest.mark.parametrize("address", ["tcp://cluster.example:8786", "tcp://10.0.0.1:8786", "cluster", "http://a:1"])
def test_a_scheduler_in_the_clear_over_a_network_is_refused(address: str) -> None:
    pytest.importorskip("distributed", reason="the extra 'batch' is not installed")
    with pytest.raises(InputError, match="tls://"), open_cluster(address, 1):
        pass


def test_without_dask_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(InputError, match=r"knightshift\[batch\]"), open_cluster(None, 1):
        pass


def test_numbers_of_the_record_are_those_of_the_map(tmp_path: Path, write_run: WriteRun) -> None:
    import nibabel as nib

    record = do(write_run(tmp_path / "run", 2), tmp_path / "out")
    t2 = np.asarray(nib.load(tmp_path / "out" / "item" / "t2_map.nii.gz").dataobj)
    assert record.n_voxels == int(np.isfinite(t2).sum())
    assert record.median_t2 == pytest.approx(float(np.nanmedian(t2)), rel=1e-6)


def test_nobody_at_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'batch' is not installed")

    def nobody(*_: object, **__: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", nobody)
    with pytest.raises(HardwareError, match="no scheduler answers"), open_cluster("tcp://127.0.0.1:9", 1):
        pass
