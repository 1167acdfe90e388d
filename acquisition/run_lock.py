"""One process at a time acquires into a run: ``run.lock``.

The kernel's file lock (`flock`) decides, and dies with its process; the text in the file says who holds it, so that
a person can be told, and so that a living holder is respected where a file system does not carry `flock`.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from knightshift.core.durable import storage_error, write_all
from knightshift.core.errors import RunLockedError

_MAX_BYTES = 4096


class LockHolder(BaseModel):
    """The process that holds a lock. A process id alone is not enough: they are used again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    """Process id."""
    process_start: str
    """Start time of the process in clock ticks since boot; empty where the system does not tell."""
    boot_id: str
    """Which boot of the computer; empty where the system does not tell."""
    host: str
    """Name of the computer."""

    @classmethod
    def this_process(cls) -> LockHolder:
        """Describe the process that runs this."""
        return cls(pid=os.getpid(), process_start=_process_start(os.getpid()), boot_id=_boot_id(), host=_host())

    def may_live(self) -> bool:
        """Whether this process may still be running: false only where that is certain, or it is this one."""
        if self.host != _host():
            return True
        if self.boot_id != _boot_id() or self.pid == os.getpid():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _process_start(self.pid) == self.process_start


def _host() -> str:
    return socket.gethostname()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    try:
        # fields 3 and 22 of stat(5); the name in field 2 may hold spaces, so count from its closing parenthesis
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]  # a dead process that nobody has waited for holds nothing
    except (OSError, IndexError):
        return ""


def living_holder(path: Path) -> LockHolder | None:
    """Tell which other process holds the lock file `path`, if one may; nothing is locked, and nothing waits."""
    try:
        content = path.read_bytes()[:_MAX_BYTES]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(path, "reading", error) from error
    try:
        holder = LockHolder.model_validate_json(content)
    except ValidationError:
        return None
    return holder if holder.may_live() else None


class RunLock:
    """Hold ``run.lock`` for as long as the ``with`` lasts.

    Parameters
    ----------
    path
        The lock file, in the run folder.

    Raises
    ------
    RunLockedError
        On entering, if another process holds it; the message says which.
    StorageError
        If the lock file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stale: LockHolder | None = None
        """Who left the lock behind without giving it back, if someone did."""
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._take()
        except OSError as error:
            self._close()
            raise storage_error(self.path, "locking", error) from error
        except RunLockedError:
            self._close()
            raise
        return self

    def _take(self) -> None:
        while True:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._refusal(self._read_holder()) from None
            if self._is_current():
                break
            self._close()  # its holder removed it between our open and our lock
        holder = self._read_holder()
        if holder is not None and holder.may_live():
            raise self._refusal(holder)
        self.stale = holder
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        write_all(self._descriptor, LockHolder.this_process().model_dump_json().encode())

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _read_holder(self) -> LockHolder | None:
        try:
            return LockHolder.model_validate_json(os.pread(self._descriptor, _MAX_BYTES, 0))
        except ValidationError:
            return None  # the holder died while writing, or has not written yet: flock alone decides

    def _refusal(self, holder: LockHolder | None) -> RunLockedError:
        who = f"process {holder.pid} on {holder.host}" if holder else "another process"
        remedy = "stop it first, or wait"
        if holder and holder.host != _host():
            remedy = f"if it no longer runs there, delete {self.path}"
        return RunLockedError(f"{self.path.parent}: {who} acquires into this run: {remedy}")

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            os.ftruncate(self._descriptor, 0)  # a read-only folder: an empty lock is a free one
        finally:
            self._close()
