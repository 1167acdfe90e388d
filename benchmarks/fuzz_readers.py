"""Spoil small valid data of every format and read them: how many inputs, how many refused, the longest time, findings.

Each format runs in a process of its own whose memory is limited. An input is one to three spoiled files: bytes flipped,
cut, inserted, repeated, numbers replaced by absurd ones, files replaced by links to themselves, pipes and folders.
A finding is anything but data or a typed error within ten seconds. ParaVision and MRD are reconstructed as well.

Run ``python benchmarks/fuzz_readers.py --inputs 2000``; the parameter files of ParaVision are fuzzed with coverage as a
guide by ``benchmarks/fuzz_jcamp.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the writers of valid data are those of the tests

from knightshift.core.errors import KnightshiftError
from knightshift.reconstruction.console_images import repetitions_of_scan
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers import read_raw
from tests.reconstruction.readers.conftest import (
    AGILENT_IMAGE,
    Agilent,
    TopSpin,
    line_fids,
    valid_writers,
    write_prospa,
)
from tests.reconstruction.readers.test_mrd import XML, acquisitions, write
from tests.shared.synthetic_raw_data import SyntheticScan

MEMORY = 2 * 1024**3
SECONDS = 10
TOKENS = (
    b"9" * 12, b"-1", b"nan", b"inf", b"1e308", b"1e-300", b"@9999999*(1)", b"@999999999*(@9*(1))", b"( 99999999 )",
    b"<", b"(", b")", b"##$", b"\x00", b"\xff\xfe", b"\n##END=\n", b"0", b"1000000000000", b"", b"Yes", b"No",
)  # fmt: skip
WORDS = (0, -1, 1, 2**31 - 1, -(2**31), 10**9, 65535)

Writer = Callable[[Path], Path]


def paravision(folder: Path) -> Path:
    """Write a multi-echo scan of two receivers and repetitions."""
    kspace = np.random.default_rng(0).integers(-99, 99, (2, 4, 2, 8, 8)) + 1j
    return SyntheticScan(kspace, n_echoes=2, big_endian=True).write(folder / "scan")


def paravision_360(folder: Path) -> Path:
    """Write a job with partial Fourier and all that the console says of its own images."""
    kspace = np.random.default_rng(0).integers(-99, 99, (1, 2, 1, 8, 128)) + 1j
    sorting = {
        "RecoSortSize": "( 2 )\n8 2", "RecoSortRange": "( 2 )\n8 2", "RecoSortSegment": "( 2 )\n4 0",
        "RecoSortMaps": "( 10 )\n0 1 2 3 4 5 6 7 0 1", "RECO_offset": "( 2, 2 )\n@4*(0)", "RecoScaleChan": "( 1 )\n1.5",
        "RecoStageNodes": "( 1 )\n(<compute>, 0, <RecoFTFilter FT0{direction=0}>)",
        "RECO_ft_size": "( 2 )\n256 8", "RECO_size": "( 2 )\n256 8",
    }  # fmt: skip
    scan = SyntheticScan(
        kspace,
        rare_factor=4,
        acqp={"ACQ_sw_version": "<PV-360.3.6>", "ACQ_jobs": "( 1 )\n(256, 1, 0, 16, 101, 5e4, 16, 1, <job0>)",
              "ACQ_ScanPipeJobSettings": "( 1 )\n(STORE_processed, STORE_32bit_signed)"},
        method={"PVM_EncPft": "( 2 )\n1.6 1", "PVM_EncPftAlgorithm": "Pocs", "PVM_Matrix": "( 2 )\n160 8"},
        reco=sorting,
    ).write(folder / "scan")  # fmt: skip
    (scan / "fid").rename(scan / "rawdata.job0")
    visu = {"VisuCoreOrientation": "( 1, 9 )\n1 0 0 0 1 0 0 0 1", "VisuCorePosition": "( 2, 3 )\n-5 3 2 -5 3 4"}
    lines = [f"##${name}={value}" for name, value in visu.items()]
    (scan / "pdata/1/visu_pars").write_text("\n".join(["##TITLE=Parameter List", *lines, "##END=", ""]))
    return scan


def paravision_packages(folder: Path) -> Path:
    """Write a stopped ParaVision 5.1 scan of two slice packages, transformed forward."""
    kspace = np.random.default_rng(0).integers(-99, 99, (3, 3, 1, 8, 8)) + 1j
    scan = SyntheticScan(
        kspace,
        object_order=[0, 2, 1],
        acqp={"ACQ_sw_version": "<PV 5.1>", "ACQ_completed": "No"},
        method={"PVM_SPackArrNSlices": "( 2 )\n2 1", "PVM_SPackArrSliceDistance": "( 2 )\n2 2",
                "PVM_SPackArrGradOrient": "( 2, 3, 3 )\n1 0 0 0 1 0 0 0 1 0 0 1 0 1 0 1 0 0",
                "PVM_SPackArrReadOffset": "( 2 )\n0 1", "PVM_SPackArrPhase1Offset": "( 2 )\n1 0"},
        reco={"RECO_qopts": "( 2 )\nQUAD_NEGATION NO_QOPTS", "RECO_transposition": "( 3 )\n0 0 1"},
    ).write(folder / "scan")  # fmt: skip
    raw = (scan / "fid").read_bytes()
    (scan / "fid").write_bytes(raw[: len(raw) * 3 // 4])
    return scan


def topspin_single(folder: Path) -> Path:
    """Write one FID with the spectrum that the console made of it."""
    experiment = TopSpin(line_fids(np.full(1, 1e6), 40.0, 64)).write(folder / "single")
    (experiment / "ser").rename(experiment / "fid")
    processed = experiment / "pdata/1"
    processed.mkdir(parents=True)
    np.arange(64, dtype="<i4").tofile(processed / "1r")
    np.arange(64, dtype="<i4").tofile(processed / "1i")
    values = {"SI": "64", "XDIM": "64", "SF": "499.9999", "SW_p": "1000", "OFFSET": "1.2", "BYTORDP": "0"}
    lines = "\n".join(f"##${name}= {value}" for name, value in values.items())
    (processed / "procs").write_text(f"##TITLE= x\n##JCAMPDX= 5.0\n##DATATYPE= x\n{lines}\n##END=\n")
    return processed


def agilent_volume(folder: Path) -> Path:
    """Write a 3D scan of two receivers."""
    traces = np.random.default_rng(1).normal(size=(8, 8, 16)) + 0j
    parameters = AGILENT_IMAGE | {
        "seqcon": ["nccsn"], "seqfil": ["ge3d"], "ns": [1], "pss": [0.0], "nv2": [4], "lpe2": [1.2], "rcvrs": ["yy"],
    }  # fmt: skip
    return Agilent(traces, parameters).write(folder / "volume.fid")


def agilent_trains(folder: Path) -> Path:
    """Write a fast spin echo of two echo times, averaged, with the table of its lines beside it."""
    traces = np.random.default_rng(1).normal(size=(2, 16, 16)) + 0j
    parameters = AGILENT_IMAGE | {
        "seqcon": ["nccnn"], "seqfil": ["fsems"], "apptype": ["im2Dfse"], "etl": [4], "petable": ["fse8_4"],
        "array": ["(te,tr)"], "te": [0.01, 0.02], "tr": [1, 2],
    }  # fmt: skip
    path = Agilent(traces, parameters).write(folder / "trains.fid")
    (path / "fse8_4").write_text("t1 = -3 1 -2 2\n -1 3 0 4\n")
    return path


def agilent_partial(folder: Path) -> Path:
    """Write a scan of which a quarter of the lines and of each readout was not acquired."""
    traces = np.random.default_rng(1).normal(size=(6, 2, 12)) + 0j
    traces[4, :, 8] = 50
    parameters = AGILENT_IMAGE | {"fract_ky": [2], "fract_kx": [4]}
    return Agilent(traces, parameters).write(folder / "partial.fid")


def topspin_train(folder: Path) -> Path:
    """Write echo trains whose loop the pulse program has."""
    code = '"DELTA=d20-p2/2"\n1 ze\n3 p1 ph1\n4 DELTA\n  (p2 ph2):f1\n  DELTA\n  lo to 4 times vc\ngo=3\n ivc\nexit\n'
    times = {"D": "(0..63)\n" + "0 1 " + "0 " * 18 + "0.001 " + "0 " * 43, "P": "(0..63)\n10 11 40 " + "0 " * 61}
    lists = {"vclist": "2\n4\n8\n", "pulseprogram": code}
    return TopSpin(line_fids(np.full(3, 1e6), 40.0, 64), lists=lists, program="cpmg", extra=times).write(
        folder / "cpmg"
    )


def prospa_train(folder: Path) -> Path:
    """Write tops of echoes with their times."""
    words = 'experiment = "T2Bulk"\nnrEchoes = 40\nechoTime = 3500\nlowestFrequency = -400\nbandwidth = 1\n'
    times = 3.5e-3 * np.arange(1, 41)
    path = write_prospa(folder / "train", np.exp(-times / 0.05)[np.newaxis], words, "data.1d", times)
    (folder / "train/delayTimes.txt").write_text("0,1\n0,2\n")
    (path.parent / "acqu.par").write_text((path.parent / "acqu.par").read_text().replace("nrPnts = 40", "nrPnts = 128"))
    return path.parent


def mrd_volume(folder: Path) -> Path:
    """Write a volume of four partitions, its second contrast read out backwards."""
    rows = acquisitions(4)
    head = rows["head"]
    head["idx"]["kspace_encode_step_2"], head["idx"]["average"] = head["idx"]["average"], 0
    head["flags"][head["idx"]["contrast"] == 1] |= np.uint64(1 << 21)
    return write(folder / "volume.h5", rows, XML.replace("<z>1</z>", "<z>4</z>"))


def nifti_echoes(folder: Path) -> Path:
    """Write two echoes as plain NIfTI files with their side-cars, one of each version."""
    values = np.random.default_rng(2).integers(0, 999, (6, 5, 4)).astype(np.int16)
    for echo, kind in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        kind(values, np.diag([0.1, 0.2, 1.0, 1.0])).to_filename(folder / f"scan_e{echo}.nii")
        (folder / f"scan_e{echo}.json").write_text(f'{{"EchoTime": {0.01 * echo}, "ImagingFrequency": 400.1}}')
    return folder / "scan_e1.nii"


def mrd(folder: Path) -> Path:
    """Write acquisitions of two contrasts."""
    return write(folder / "a.h5", acquisitions())


def writers() -> dict[str, Writer]:
    """Writers of every format."""
    ours = {
        "paravision": paravision, "paravision 360": paravision_360, "paravision packages": paravision_packages,
        "agilent volume": agilent_volume, "topspin single": topspin_single,
        "agilent trains": agilent_trains, "agilent partial": agilent_partial,
        "nifti echoes": nifti_echoes, "topspin train": topspin_train, "prospa train": prospa_train, "mrd": mrd,
        "mrd volume": mrd_volume,
    }  # fmt: skip
    return ours | valid_writers()


def spoiled(content: bytes, rng: random.Random) -> bytes:
    """Change some content in one way."""
    place = rng.randrange(len(content) + 1)
    head, tail = content[:place], content[place:]
    line = content.rfind(b"\n", 0, place) + 1, content.find(b"\n", place) + 1 or len(content)
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: head + rng.choice(TOKENS) + tail,
        lambda: head + tail[rng.randint(1, 30) :],
        lambda: head + rng.randbytes(rng.randint(1, 8)) + tail[8:],
        lambda: head + _with_another_number(tail, rng),
        lambda: _with_word(content, place - place % 4, rng),
        lambda: head + content[place // 2 :],
        lambda: head if rng.random() < 0.5 else b"",
        lambda: content[: line[0]] + content[line[1] :],
    )
    return rng.choice(changes)()


def _with_another_number(tail: bytes, rng: random.Random) -> bytes:
    """Put another number in the place of the next one."""
    start = next((at for at, byte in enumerate(tail) if 48 <= byte < 58), 0)
    length = next((at for at, byte in enumerate(tail[start:]) if byte not in b"0123456789."), 1)
    return tail[:start] + rng.choice(TOKENS) + tail[start + length :]


def _with_word(content: bytes, at: int, rng: random.Random) -> bytes:
    word = np.array(rng.choice(WORDS)).astype(rng.choice(("<i4", ">i4", "<f8"))).tobytes()
    return content[:at] + word + content[at + len(word) :]


def spoil(file: Path, rng: random.Random) -> None:
    """Spoil one file of a copy."""
    kind = rng.randrange(40)
    if kind >= 4:
        file.write_bytes(spoiled(file.read_bytes(), rng))
        return
    file.unlink()
    if kind == 0:
        file.symlink_to(file)
    elif kind == 1:
        os.mkfifo(file)
    elif kind == 2:
        file.mkdir()


@dataclass
class Result:
    """What came of the inputs of one format."""

    inputs: int = 0
    refused: int = 0
    longest: float = 0.0
    findings: list[str] = field(default_factory=list)


def read(path: Path) -> None:
    """Read, and reconstruct where it is k-space."""
    raw = read_raw(path)
    if isinstance(raw, KSpaceScan):
        repetitions_of_scan(raw)


def run(name: str, n_inputs: int, seed: int, answers: multiprocessing.Queue[Result]) -> None:
    """Try inputs of one format; a separate process, whose memory is limited."""
    np.seterr(all="ignore")
    rng, result = random.Random(f"{name} {seed}"), Result()
    folder = Path(tempfile.mkdtemp())
    (folder / "original").mkdir()
    target = writers()[name](folder / "original")
    read(target)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    files = sorted(file.relative_to(folder / "original") for file in (folder / "original").rglob("*") if file.is_file())
    for number in range(n_inputs):
        copy = folder / f"copy{number}"
        shutil.copytree(folder / "original", copy)
        for file in rng.sample(files, min(len(files), rng.choice((1, 1, 1, 2, 3)))):
            spoil(copy / file, rng)
        _try(copy / target.relative_to(folder / "original"), f"{name}, seed {seed}, input {number}", result)
        shutil.rmtree(copy)
    shutil.rmtree(folder)
    answers.put(result)


def _try(path: Path, which: str, result: Result) -> None:
    result.inputs += 1
    begin = time.process_time()
    signal.alarm(SECONDS)
    try:
        read(path)
    except KnightshiftError:
        result.refused += 1
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        result.findings.append(f"{which}: {error!r}")
    signal.alarm(0)
    result.longest = max(result.longest, time.process_time() - begin)


def _too_long(*_: object) -> None:
    raise TimeoutError(f"no answer within {SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="WORD", help="formats with this in their name")
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    print(f"{'format':<20} {'inputs':>8} {'refused':>8} {'longest s':>10}  findings")
    context = multiprocessing.get_context("fork")
    total = Result()
    for name in (name for name in writers() if asked.only in name):
        answers: multiprocessing.Queue[Result] = context.Queue()
        process = context.Process(target=run, args=(name, asked.inputs, asked.seed, answers))
        process.start()
        result = answers.get(timeout=3600)
        process.join()
        print(f"{name:<20} {result.inputs:8d} {result.refused:8d} {result.longest:10.2f}  {len(result.findings)}")
        for finding in result.findings[:5]:
            print(f"    {finding}")
        total.inputs += result.inputs
        total.findings += result.findings
    print(f"{total.inputs} inputs, {len(total.findings)} findings")
    sys.exit(1 if total.findings else 0)


if __name__ == "__main__":
    main()
