"""Processes to work on: those of this machine, or a Dask cluster that is there already."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from knightshift.core.errors import HardwareError, InputError

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_AHEAD = 2  # tasks handed out for each thread of the cluster: one at work, one waiting
_LOCAL: dict[str, object] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # not dask's own, which make the allocator give every array back at once: a fit then spends its time in page faults
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1
    ),
}
"""Settings of dask for processes of this machine."""


@dataclass(frozen=True)
class Finished:
    """What came of one task."""

    index: int
    """Its place in the list of tasks."""
    value: str = ""
    """What it returned."""
    error: BaseException | None = None
    """What it raised, or that its workers died."""


@contextmanager
def open_cluster(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or start processes on this machine and stop them again.

    Local processes talk over TLS on the loopback interface, with certificates that exist in memory only, and offer no
    dashboard: no other user of the machine can hand them work. A scheduler elsewhere must speak TLS as well.

    Parameters
    ----------
    scheduler
        Address (``tls://host:8786``); None for processes on this machine.
    workers
        How many of those.

    Raises
    ------
    InputError
        If the extra is not installed, or the address is one that anybody could listen in on.
    HardwareError
        If nobody answers there, or its workers run another version of this package.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("a batch needs dask: install the extra with pip install 'knightshift[batch]'") from None
    if scheduler is not None:
        _check_address(scheduler)
        with _connected(Client, scheduler) as client:
            yield client
        return
    with (
        dask.config.set(_LOCAL),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", protocol="tls", security=True,
            dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        _check_workers(client, "this machine")
        yield client


def _check_address(address: str) -> None:
    """Refuse to send work and results in the clear over a network."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
        raise InputError(f"--scheduler {address!r}: write tls://host:port, as the scheduler prints it")
    if parts.scheme == "tcp" and not _is_loopback(parts.hostname):
        raise InputError(
            f"--scheduler {address!r}: over a network only tls:// is taken, since whoever reaches a scheduler in the "
            "clear can run programs on its workers: start it with certificates, and set distributed.comm.tls in "
            "dask's configuration"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _connected(client_class: Any, address: str) -> Iterator[Client]:
    try:
        client: Client = client_class(address, timeout="10s")
    except (OSError, TimeoutError, TypeError, ValueError) as error:
        raise HardwareError(
            f"{address}: no scheduler answers there ({error}): is it running, and its address right?"
        ) from None
    with client:
        _check_workers(client, address)
        yield client


def _check_workers(client: Client, where: str) -> None:
    """Make sure that there are workers, and that they run what we run; a worker that cannot import it would hang."""
    ours = version("knightshift")
    try:
        versions = client.run(_version_on_worker)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise HardwareError(
            f"{where}: its workers cannot import knightshift {ours} ({error}): install it there"
        ) from error
    if not versions:
        raise HardwareError(f"{where}: the scheduler has no workers: start some with `dask worker`")
    if others := {worker: theirs for worker, theirs in versions.items() if theirs != ours}:
        raise HardwareError(f"{where}: workers run another knightshift than {ours}: {others}: install the same")


def _version_on_worker() -> str:
    """Import all that a worker needs, and tell the version."""
    from knightshift.reconstruction.batch import item, volume  # noqa: F401

    return version("knightshift")


def run_tasks(
    client: Client, function: Callable[..., str], tasks: Sequence[tuple[str | int, ...]]
) -> Iterator[Finished]:
    """Run one function on many tuples of plain arguments, and yield what is finished as it comes.

    No more tasks than keep every worker busy are handed out at a time, so that neither the scheduler nor the memory
    grows with the archive. The work of a worker that dies is done again by another.

    Raises
    ------
    HardwareError
        If the cluster itself is lost.
    """
    from distributed import as_completed

    waiting = iter(range(len(tasks)))
    indices: dict[object, int] = {}

    def submit(index: int) -> Any:
        future = client.submit(function, *tasks[index], pure=False)
        indices[future.key] = index
        return future

    first = [submit(index) for index in islice(waiting, _AHEAD * _threads(client))]
    running = as_completed(first)
    for future in running:
        index = indices.pop(future.key)
        if future.cancelled() or future.status == "lost":
            raise HardwareError("the cluster is gone: what is done is kept, run the same command again")
        error = future.exception()
        if (following := next(waiting, None)) is not None:
            running.add(submit(following))
        yield Finished(index, error=error) if error is not None else Finished(index, future.result())


def _threads(client: Client) -> int:
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))
