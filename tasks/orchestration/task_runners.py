"""Where the tasks of a run are done: in threads of its process, or by workers of Dask. A shell.

A worker gets an order and brings a report: no key travels. Whatever becomes of it, the run has an end.
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
from tasks.orchestration.remote_futures import RemoteFuture, RemoteTaskWaiter
from tasks.runtime.resolver import connect

ANSWER_SECONDS = 10.0
"""In which Dask's scheduler must answer."""


@contextmanager
def runner_of(chosen: TaskRunner, until: datetime) -> Iterator[Submit]:
    """How a task is submitted. Raises ConfigError where there can be no workers: nothing was read by then."""
    if chosen.type == "threads":
        yield submit_to_thread
        return
    with ExitStack() as stack:
        runner = _started(chosen, stack)
        workers = partial(_number_of_workers, runner)
        attendance = stack.enter_context(RemoteTaskWaiter(until, workers))
        yield partial(_submit, runner, attendance)


def _number_of_workers(runner: Any) -> int:
    """As Dask's scheduler says."""
    return len(runner.client.nthreads())


def _reduced(sealed: Any) -> tuple[Any, tuple[Any]]:
    return opaque, (sealed.unwrap(),)


# Prefect's wrapper for what it is not to look into: out of a pickle, it comes with one wrapper too many.
copyreg.pickle(opaque, _reduced)


def _submit(runner: Any, attendance: RemoteTaskWaiter, task: Any, **parameters: Any) -> RemoteFuture:
    given = {name: opaque(value) for name, value in parameters.items()}
    future = runner.submit(task, given)
    return attendance.expect(future, parameters["spec"].cluster.name, str(task.task_run_name))


def _started(chosen: TaskRunner, stack: ExitStack) -> Any:
    """At work from here on, until the stack is left."""
    address, made = str(chosen.address), _made(chosen)
    if not PREFECT_API_URL.value():
        raise ConfigError(
            f"taskRunner.type: {chosen.type}: workers need a Prefect server that they reach, too; "
            "let PREFECT_API_URL name it"
        )
    try:
        _knock(address)
        asyncio.run(_greet(address))
        runner = stack.enter_context(made)
        runner.client.nthreads()  # connects
    except Exception as error:  # noqa: BLE001  a library's text, which could hold anything, ends here
        raise ConfigError(
            f"taskRunner.address: Dask's scheduler does not answer at {address} "
            f"({type(error).__name__}); look whether it runs, and whether it is reached from here"
            f"{_tls(address)}"
        ) from None
    return runner


def _tls(address: str) -> str:
    wanted = "; tls:// needs DASK_DISTRIBUTED__COMM__TLS__… here, as on scheduler and workers"
    return wanted if address.startswith("tls:") else ""


def _made(chosen: TaskRunner) -> Any:
    try:
        library = import_module("prefect_dask")
    except ImportError:
        raise ConfigError(
            "taskRunner.type: dask is not installed here; install tls-sync with its extra `dask`, here "
            "and on the workers"
        ) from None
    # A scheduler that dies is told as WorkerLost, per cluster, and needs no traceback beside it.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    return library.DaskTaskRunner(address=chosen.address, client_kwargs={"timeout": ANSWER_SECONDS})


def _knock(address: str) -> None:
    """Libraries wait long for who isn't there."""
    at = urlsplit(address)
    connect((at.hostname or "", at.port or 0), time.monotonic() + ANSWER_SECONDS).close()


async def _greet(address: str) -> None:
    """Dask's own client would wait for ever for who is there and says nothing."""
    distributed = import_module("distributed")
    how = distributed.Security().get_connection_args("client")
    async with asyncio.timeout(ANSWER_SECONDS):
        comm = await distributed.comm.connect(address, timeout=ANSWER_SECONDS, **how)
    await comm.close()
