"""The jobs of ParaVision 6, 7 and 360: what lies in each ``rawdata.jobN``.

An entry of ``ACQ_jobs`` has eight fields in ParaVision 6 and 7 (stored scans last) and nine in 360 (stored scans
seventh, the name last). ``ACQ_ScanPipeJobSettings`` of 360 says what the words are.
"""

from __future__ import annotations

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers.jcamp import ParameterFile

_WORDS = {"STORE_32bit_signed": "i4", "STORE_64bit_float": "f8", "STORE_32bit_float": "f4"}
_NAMED_FIELDS = 9


def imaging_job_reals(acqp: ParameterFile, name: str) -> int:
    """Count the reals of one trace of the job `name`; drift and navigator jobs stand beside it.

    Raises
    ------
    DamagedDataError
        If there is no such job, or nothing was stored of it.
    """
    job = acqp.structs("ACQ_jobs")[_job_index(acqp, name)]
    try:
        reals, scans = int(job[0]), int(job[6] if len(job) >= _NAMED_FIELDS else job[-1])
    except (ValueError, IndexError):
        raise DamagedDataError(acqp.path, "ACQ_jobs", f"the entry {job} cannot be read") from None
    if scans < 1 or not 2 <= reals <= 2**24 or reals % 2:
        problem = f"<{name}> claims {scans} scans of {reals} reals: the scan was aborted"
        raise DamagedDataError(acqp.path, "ACQ_jobs", problem, "scan again")
    return reals


def job_word(acqp: ParameterFile, name: str) -> str:
    """Type of the words of a job without its byte order: ``"i4"``. Raises `UnsupportedDataError`."""
    if "ACQ_ScanPipeJobSettings" not in acqp:
        return "i2" if "ACQ_word_size" in acqp and acqp.text("ACQ_word_size") == "_16_BIT" else "i4"
    settings = acqp.structs("ACQ_ScanPipeJobSettings")
    index = _job_index(acqp, name)
    kind = settings[index][1] if index < len(settings) and len(settings[index]) > 1 else "STORE_32bit_signed"
    if kind not in _WORDS:
        raise UnsupportedDataError(f"{acqp.path}: storageDataType {kind} of {name} is not known")
    return _WORDS[kind]


def _job_index(acqp: ParameterFile, name: str) -> int:
    jobs, title = acqp.structs("ACQ_jobs"), name
    for index, job in enumerate(jobs):
        if title in job[_NAMED_FIELDS - 1 :]:
            return index
    number = int(title.removeprefix("job")) if title.removeprefix("job").isdigit() else len(jobs)
    if number < len(jobs) and len(jobs[number]) < _NAMED_FIELDS:  # entries without names are in order
        return number
    raise DamagedDataError(acqp.path, "ACQ_jobs", f"it has no entry <{title}>")
