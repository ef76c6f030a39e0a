"""A name server that hangs, for each of those who ask one: all of them go on when their time is up."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.inventory.served import TLSProbe
from tasks.inventory.tls_probe import LATE, probe_all
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import accepted
from tasks.metrics import push, pushgateway
from tasks.orchestration import task_runners
from tasks.runtime import resolver, shutdown
from tasks.watch.health import Heartbeat, serve
from tests.support import tls_server
from tests.support.name_server import NAME, NameServer, hanging
from tests.support.tls_server import listening
from tests.support.waiting import until
from tests.unit.kubeconfig.test_reader import CA, document
from tests.unit.metrics.test_registry import report

PATIENT = 60.0
KUBE_SYSTEM = json.dumps(
    {"kind": "PartialObjectMetadata", "metadata": {"name": "kube-system", "uid": str(uuid.uuid4())}}
)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with hanging(monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def begun() -> Iterator[None]:
    yield
    shutdown.asked.clear()


def client(seconds: float = PATIENT, server: str = f"https://{NAME}:6443") -> ClusterClient:
    """Of a cluster whose API server has a name."""
    written = document()
    written["clusters"][0]["cluster"]["server"] = server
    return ClusterClient("dev", accepted("dev", "cluster-dev", written), time.monotonic() + seconds)


def failure(seconds: float = PATIENT) -> Failure:
    with client(seconds) as one, pytest.raises(ClusterError) as raised:
        one.cluster_id()
    assert NAME not in str(raised.value)
    return raised.value.failure


def test_a_cluster_has_no_more_time_than_its_deadline(name_server: NameServer) -> None:
    """It fails at its deadline however often its name is looked up, and one thread is left behind."""
    for _ in range(3):
        assert failure(seconds=0.3).code is FailureCode.DEADLINE
    assert name_server.asked == [NAME]
    assert not name_server.go.is_set()


def test_a_name_that_is_not_found_in_time_may_pass(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the deadline, the cluster is unreachable, told with what was missing, and tried again."""
    monkeypatch.setattr(resolver, "SECONDS", 0.2)
    found = failure()
    assert (found.code, found.transient) == (FailureCode.UNREACHABLE, True)
    assert found.detail == "no name server answered"


def test_a_name_that_does_not_exist_is_told(name_server: NameServer) -> None:
    """It is another thing to do than where nobody listens."""

    def unknown() -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    name_server.answer = unknown
    name_server.go.set()
    found = failure()
    assert (found.code, found.transient) == (FailureCode.UNREACHABLE, True)
    assert found.detail == "its name can't be resolved"


def test_a_stop_is_heard_while_a_name_is_looked_up(name_server: NameServer) -> None:
    """A stop ends the wait for a name at once, since nothing has been sent yet."""
    timer = threading.Timer(0.3, shutdown.asked.set)
    timer.start()
    assert failure().code is FailureCode.INTERRUPTED
    assert not name_server.go.is_set()


@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", []), ("localhost", ["localhost"])])
def test_a_connection_that_is_kept_asks_for_no_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, names: list[str]
) -> None:
    """There is one lookup per connection, none per request, and none where the server has an address."""
    asked, begun = list[str](), resolver._Lookup

    def noted(place: resolver.Place) -> resolver._Lookup:
        asked.append(place[0])
        return begun(place)

    monkeypatch.setattr(resolver, "_Lookup", noted)
    server = tls_server.answering(tmp_path, *CA.serving(), KUBE_SYSTEM)
    with listening(server) as address, client(server=f"https://{host}:{port(address)}") as one:
        assert len({one.cluster_id() for _ in range(3)}) == 1
    assert asked == names


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_addresses_that_are_asked_again_add_no_thread(name_server: NameServer) -> None:
    """The inventory gives an address up after its time, and one thread waits on for its name."""
    questions = [TLSProbe(f"{NAME}:443", f"n{number}.example.org") for number in range(5)]
    for _ in range(3):
        assert set(probe_all(questions, 0.3).values()) == {LATE}
    assert name_server.asked == [NAME]
    until("the threads that asked have ended", lambda: not threads("ask_one"))


def threads(of: str) -> list[str]:
    """Those alive whose name tells of this."""
    return [one.name for one in threading.enumerate() if of in one.name]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_push_is_lost_in_its_time(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The run goes on, the line says what was missing, and the thread that pushed ends, too."""
    monkeypatch.setenv(pushgateway.ADDRESS, f"{scheme}://{NAME}:9091")
    monkeypatch.setattr(pushgateway, "LIMIT", 3.0)  # a busy machine gets as far as the lookup
    for _ in range(2):
        assert "2 of 2 pushes: no answer in 3.0 s" in push.push(report())
    assert name_server.asked == [NAME]
    until("the threads that pushed have ended", lambda: not threads("pushgateway"))


def test_a_scheduler_whose_name_is_not_found_ends_the_run(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends before anything is read, and says that the scheduler does not answer."""
    monkeypatch.setattr(task_runners, "ANSWER_SECONDS", 0.3)
    with pytest.raises(TimeoutError):
        task_runners._knock(f"tcp://{NAME}:8786")
    assert not name_server.go.is_set()


def test_the_watcher_asks_nobody_who_it_is(name_server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's HTTP server looks its own name up where it starts, without an end."""
    monkeypatch.setattr(socket, "gethostbyaddr", lambda *_: pytest.fail("a lookup at the start"))
    server = serve(0, Heartbeat(), lambda: (b"", "text/plain"))
    server.shutdown()
    server.server_close()
