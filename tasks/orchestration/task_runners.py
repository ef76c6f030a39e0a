"""Chooses where the tasks of a run are executed: in threads of its process, or on Dask workers.

A worker receives a SyncSpec and returns a report; no key is sent. A lost worker does not block the run.
"""

import asyncio
import copyreg
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from prefect.settings import PREFECT_API_URL
from prefect.utilities.annotations import opaque

from tasks.config.schema import TaskRunner
from tasks.domain.errors import ConfigError
from tasks.orchestration.fan_out import Submit, submit_to_thread
from tasks.orchestration.remote_futures import RemoteFuture
from tasks.orchestration.remote_waiter import RemoteTaskWaiter
from tasks.runtime.resolver import connect

CONNECT_SECONDS = 10.0
"""Seconds to wait for each response of Dask's scheduler while connecting."""


@contextmanager
def task_submitter(chosen: TaskRunner, run_deadline: datetime) -> Iterator[Submit]:
    """Yield the function that submits a task. Raises ConfigError if Dask's scheduler can't be reached."""
    if chosen.type == "threads":
        yield submit_to_thread
        return
    with ExitStack() as stack:
        runner = _start_runner(chosen, stack)
        count_workers = partial(_count_workers, runner)
        waiter = stack.enter_context(RemoteTaskWaiter(run_deadline, count_workers))
        yield partial(_submit, runner, waiter)


def _count_workers(runner: Any) -> int:
    return len(runner.client.nthreads())


def _reduce_opaque(wrapped: Any) -> tuple[Any, tuple[Any]]:
    return opaque, (wrapped.unwrap(),)


# Prefect does not look into what `opaque` wraps. By default, unpickling would wrap it twice.
copyreg.pickle(opaque, _reduce_opaque)


def _submit(runner: Any, waiter: RemoteTaskWaiter, task: Any, **parameters: Any) -> RemoteFuture:
    future = runner.submit(task, {name: opaque(value) for name, value in parameters.items()})
    return waiter.add(future, parameters["spec"].cluster.name, str(task.task_run_name))


def _start_runner(chosen: TaskRunner, stack: ExitStack) -> Any:
    """Connect Prefect's task runner to Dask, until the stack is left."""
    address, made = str(chosen.address), _make_runner(chosen)
    if not PREFECT_API_URL.value():
        raise ConfigError(
            f"taskRunner.type: {chosen.type}: workers need a Prefect server that they can reach; "
            "set PREFECT_API_URL to its address"
        )
    try:
        _check_tcp(address)
        asyncio.run(_check_dask(address))
        runner = stack.enter_context(made)
        runner.client.nthreads()  # connects
    except Exception as error:  # noqa: BLE001  a library's text could hold anything, so it ends here
        raise ConfigError(
            f"taskRunner.address: Dask's scheduler does not answer at {address} "
            f"({type(error).__name__}); check that it runs, and that it can be reached from here"
            f"{_tls_hint(address)}"
        ) from None
    return runner


def _tls_hint(address: str) -> str:
    hint = "; tls:// needs DASK_DISTRIBUTED__COMM__TLS__… here, as on scheduler and workers"
    return hint if address.startswith("tls:") else ""


def _make_runner(chosen: TaskRunner) -> Any:
    try:
        library = import_module("prefect_dask")
    except ImportError:
        raise ConfigError(
            "taskRunner.type: dask is not installed here; install tls-sync with its extra `dask`, here "
            "and on the workers"
        ) from None
    # If the scheduler dies, each cluster fails with WorkerLost; a traceback would add nothing.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    return library.DaskTaskRunner(address=chosen.address, client_kwargs={"timeout": CONNECT_SECONDS})


def _check_tcp(address: str) -> None:
    """Fail early if nothing listens at the address: Dask retries for much longer."""
    url = urlsplit(address)
    connect((url.hostname or "", url.port or 0), time.monotonic() + CONNECT_SECONDS).close()


async def _check_dask(address: str) -> None:
    """Fail early if a server accepts the connection but sends nothing: Dask's client would wait for ever."""
    distributed = import_module("distributed")
    options = distributed.Security().get_connection_args("client")
    async with asyncio.timeout(CONNECT_SECONDS):
        comm = await distributed.comm.connect(address, timeout=CONNECT_SECONDS, **options)
    await comm.close()
