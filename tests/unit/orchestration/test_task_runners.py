"""Task runners: what is refused before a run, cancellation of tasks on workers, and waiting for them."""

import logging
import pickle
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has none
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.annotations import opaque

from tasks.config.load import parse_config
from tasks.config.schema import TaskRunner
from tasks.domain.errors import ClusterError, ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Requests
from tasks.kube import request_counts
from tasks.orchestration import remote_waiter, task_runners
from tasks.orchestration.cancellation import LABEL, ends_tasks, labels_of
from tasks.orchestration.fan_out import submit_to_thread
from tasks.runtime import shutdown
from tests.support.factories import cluster
from tests.support.scripts import printed


def soon() -> datetime:
    """Return a deadline in five minutes, counted from the test, not from the import."""
    return datetime.now(UTC) + timedelta(minutes=5)


DASK = TaskRunner(type="dask", address="tcp://scheduler:8786")


def refusal(chosen: TaskRunner, api: str = "http://prefect:4200/api") -> str:
    with (
        temporary_settings({PREFECT_API_URL: api or None}),
        pytest.raises(ConfigError) as caught,
        task_runners.task_submitter(chosen, soon()),
    ):
        pass
    assert caught.value.__cause__ is None
    return str(caught.value)


def parsed(**chosen: Any) -> TaskRunner:
    document = {
        "owner": "ops",
        "source": {"namespace": "certificates-ops"},
        "clusters": [cluster().model_dump(mode="json", by_alias=True, exclude_none=True)],
        "taskRunner": chosen,
    }
    return parse_config(document).task_runner


def test_threads_are_the_default() -> None:
    """Without configuration tasks run in threads, and Dask is not imported."""
    assert parsed() == TaskRunner(type="threads", address=None)
    with task_runners.task_submitter(TaskRunner(), soon()) as submit:
        assert submit is submit_to_thread
    script = "import sys, flows.tls_sync; print({'distributed', 'prefect_dask'} & {*sys.modules})"
    assert printed(script) == "set()"


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tls://10.0.0.1:8786", "tcp://[fd00::1]:8786"])
def test_an_address_of_dask(address: str) -> None:
    """An address is a host or IP address and a port, by TCP or TLS."""
    assert parsed(type="dask", address=address).address == address


FAULTS = {
    "no address for dask": ({"type": "dask"}, "is required where type is dask: tcp://scheduler:8786"),
    "an address for threads": (
        {"address": "tcp://scheduler:8786"},
        "goes with type: dask; threads are of the run's own process",
    ),
    "another scheme": (
        {"type": "dask", "address": "http://scheduler:8786"},
        "not an address for dask; write it as in tcp://scheduler:8786",
    ),
    "no port": (
        {"type": "dask", "address": "tcp://scheduler"},
        "not an address for dask; write it as in tcp://scheduler:8786",
    ),
    "a password": (
        {"type": "dask", "address": "tcp://me:hunter2@scheduler:8786"},
        "not an address for dask; write it as in tcp://scheduler:8786",
    ),
}


@pytest.mark.parametrize(("chosen", "message"), FAULTS.values(), ids=FAULTS)
def test_a_task_runner_is_refused_with(chosen: dict[str, str], message: str) -> None:
    """The message names the key and shows a valid address; it does not repeat the value."""
    with pytest.raises(ConfigError) as caught:
        parsed(**chosen)
    assert str(caught.value) == f"1 fault\n  taskRunner.address: {message}"


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library, the message names the extra to install."""
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    assert refusal(DASK) == (
        "taskRunner.type: dask is not installed here; install tls-sync with its extra `dask`, here "
        "and on the workers"
    )


def test_workers_need_a_prefect_server_that_they_reach() -> None:
    """Without PREFECT_API_URL, Dask is refused: workers can't reach a run's own temporary server."""
    assert "set PREFECT_API_URL to its address" in refusal(DASK, api="")


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_wrapped_parameter_survives_pickling(library: Any) -> None:
    """A parameter wrapped in `opaque` arrives at a worker in one wrapper."""
    assert task_runners  # its import registers the reduction
    arrived = pickle.loads(library.dumps(opaque("spec")))
    assert (type(arrived), arrived.unwrap()) == (opaque, "spec")


CANCELLED = {
    "running": ({}, "RUNNING", 1, 1, False),
    "cancelled by its label": (labels_of(1), "RUNNING", 1, 1, True),
    "cancelled at an earlier attempt": (labels_of(1), "RUNNING", 2, 2, False),
    "started again": ({}, "RUNNING", 2, 1, True),
    "cancelled": ({}, "CANCELLING", 1, 1, True),
    "crashed": ({}, "CRASHED", 1, 1, True),
    "an invalid label": ({LABEL: "yes"}, "RUNNING", 1, 1, False),
}


@pytest.mark.parametrize(
    ("labels", "state", "run_count", "attempt", "ends"), CANCELLED.values(), ids=CANCELLED
)
def test_a_task_on_a_worker_ends_with_its_run(
    labels: dict[str, Any], state: str, run_count: int, attempt: int, ends: bool
) -> None:
    """Tasks end once their run is cancelled, has ended or is started again."""
    assert ends_tasks(labels, state, run_count, attempt) is ends


def test_a_stop_of_one_run_stops_no_other() -> None:
    """Two runs on one worker have separate stop signals."""
    one, other = shutdown.StopSignal(), shutdown.StopSignal()
    with shutdown.task_scope(one):
        assert shutdown.current() is one
        shutdown.current().stop(grace=60)
    with shutdown.task_scope(other):
        assert not shutdown.current().requested.is_set()
    assert not shutdown.current().requested.is_set()
    assert one.requested.is_set()


class Unconnected:
    def request(self, *_: Any, **__: Any) -> Any:
        raise OSError


def test_a_book_of_its_own_is_counted_nowhere_else() -> None:
    """Two tasks in one process count apart, in whichever thread; the process counts neither."""
    before, books = request_counts.snapshot(), [Counter[request_counts.VerbAndCode]() for _ in range(2)]
    for number, book in enumerate(books, start=1):
        with request_counts.count_into(book):
            counted = request_counts.CountedConnections(Unconnected())  # type: ignore[arg-type]  # all that is used of one
        for _ in range(number):
            thread = threading.Thread(target=_failing, args=(counted.request,))
            thread.start()
            thread.join()
    assert [request_counts.as_requests(book) for book in books] == [
        (Requests(verb="GET", code="none", count=1),),
        (Requests(verb="GET", code="none", count=2),),
    ]
    assert request_counts.since(before) == ()


def _failing(request: Callable[..., Any]) -> None:
    with pytest.raises(OSError):  # noqa: PT011  Unconnected's
        request("GET", "https://dev")


class Future:
    """A future of Prefect's task runner, which ends when the test calls end()."""

    def __init__(self, result: Any = None, state: str = "Completed") -> None:
        self._result, self.state = result, type("State", (), {"name": state})
        self._calls: list[Callable[[Any], Any]] = []

    def add_done_callback(self, call: Callable[[Any], Any]) -> None:
        self._calls.append(call)

    def result(self, *, raise_on_failure: bool) -> Any:
        assert not raise_on_failure
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def end(self) -> None:
        for call in self._calls:
            call(self)


REPORT = ClusterReport(cluster="dev", requests=(Requests(verb="GET", code="200", count=7),))


@pytest.mark.parametrize(("state", "counted"), [("Completed", 7), ("Cached", 0)])
def test_the_requests_of_a_worker_are_counted_once(state: str, counted: int) -> None:
    """The requests of a cached report were counted by an earlier attempt of the run."""
    before, future = request_counts.snapshot(), Future(REPORT.model_dump_json(), state)
    with remote_waiter.RemoteTaskWaiter(soon()) as waiter:
        remote = waiter.add(future, "dev", "sync-dev")
        future.end()
        assert remote.result(timeout=60) == REPORT.model_dump_json()
        for _ in range(2):
            remote.fetch()
    assert sum(one.count for one in request_counts.since(before)) == counted


def test_a_worker_that_is_lost_is_a_failure_of_its_cluster() -> None:
    """The failure has the type of the library's error, not its text, which could hold anything."""
    future = Future(OSError("token abc"))
    with remote_waiter.RemoteTaskWaiter(soon()) as waiter:
        remote = waiter.add(future, "dev", "sync-dev")
        future.end()
        error = remote.result(timeout=60, raise_on_failure=False)
    assert isinstance(error, ClusterError)
    assert (error.failure.code, error.failure.detail) == (FailureCode.WORKER_LOST, "OSError")
    assert (error.failure.cluster, error.failure.what) == ("dev", "run task sync-dev")


def test_a_run_does_not_wait_beyond_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task without a result at the deadline fails its own cluster."""
    monkeypatch.setattr(remote_waiter, "LATE_SECONDS", 0.2)
    began = time.monotonic()
    with remote_waiter.RemoteTaskWaiter(datetime.now(UTC)) as waiter:
        error = waiter.add(Future(), "dev", "sync-dev").result(timeout=60, raise_on_failure=False)
    assert time.monotonic() - began < 30
    assert (error.failure.code, error.failure.detail) == (
        FailureCode.WORKER_LOST,
        "the time of the run is up",
    )


def test_a_run_without_any_worker_warns_and_gives_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a worker the run warns, and gives up after a while; errors of the scheduler do not count."""
    monkeypatch.setattr(remote_waiter, "COUNT_SECONDS", 0.02)
    monkeypatch.setattr(remote_waiter, "NO_WORKER_SECONDS", 0.3)
    monkeypatch.setattr(remote_waiter, "get_run_logger", lambda: logging.getLogger("a-run"))
    silent_until = time.monotonic() + 0.6

    def workers() -> int:
        if time.monotonic() < silent_until:
            raise OSError
        return 0

    with remote_waiter.RemoteTaskWaiter(soon(), workers) as waiter:
        error = waiter.add(Future(), "dev", "sync-dev").result(timeout=60, raise_on_failure=False)
    assert (error.failure.code, error.failure.detail) == (FailureCode.WORKER_LOST, "no worker for 0 s")
    assert time.monotonic() > silent_until + 0.2
    assert caplog.messages == ["the task runner has no worker: the run waits for one; see its log"]


def test_a_run_with_a_worker_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is a worker, its task is waited for."""
    monkeypatch.setattr(remote_waiter, "COUNT_SECONDS", 0.01)
    monkeypatch.setattr(remote_waiter, "NO_WORKER_SECONDS", 0.05)
    future = Future("{}")
    with remote_waiter.RemoteTaskWaiter(soon(), lambda: 1) as waiter:
        remote = waiter.add(future, "dev", "sync-dev")
        with pytest.raises(TimeoutError):
            remote.result(timeout=0.5)


def test_a_stopped_run_waits_for_workers_no_longer_than_a_pod_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stopped run cancels its tasks on workers; after STOP_SECONDS the others are Interrupted."""
    cancelled = threading.Event()
    monkeypatch.setattr(remote_waiter, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(remote_waiter, "_cancel", cancelled.set)
    with remote_waiter.RemoteTaskWaiter(soon()) as waiter:
        remote = waiter.add(Future(), "dev", "sync-dev")
        shutdown.requested.set()
        try:
            error = remote.result(timeout=60, raise_on_failure=False)
            assert cancelled.wait(60)
        finally:
            shutdown.requested.clear()
    assert error.failure.code is FailureCode.INTERRUPTED
