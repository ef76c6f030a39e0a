"""A name server that hangs delays none of our connections beyond its deadline."""

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
from tasks.kube.client import ClusterClient
from tasks.kubeconfig.reader import parse_access
from tasks.metrics import push, pushgateway
from tasks.orchestration import task_runners
from tasks.runtime import resolver, shutdown
from tasks.served.compare import TLSProbe
from tasks.served.tls_probe import LATE, probe_all
from tasks.watch.health import Heartbeat, serve
from tests.support import tls_server
from tests.support.metrics_example import report
from tests.support.name_server import NAME, NameServer, hanging
from tests.support.tls_server import listening
from tests.support.waiting import until
from tests.unit.kubeconfig.test_reader import CA, document

TIMEOUT = 60.0
KUBE_SYSTEM = json.dumps(
    {"kind": "PartialObjectMetadata", "metadata": {"name": "kube-system", "uid": str(uuid.uuid4())}}
)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with hanging(monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def clear_stop() -> Iterator[None]:
    yield
    shutdown.requested.clear()


def client(seconds: float = TIMEOUT, server: str = f"https://{NAME}:6443") -> ClusterClient:
    """A client of a cluster whose API server has a host name."""
    written = document()
    written["clusters"][0]["cluster"]["server"] = server
    return ClusterClient("dev", parse_access("dev", "cluster-dev", written), time.monotonic() + seconds)


def failure(seconds: float = TIMEOUT) -> Failure:
    with client(seconds) as one, pytest.raises(ClusterError) as raised:
        one.cluster_id()
    assert NAME not in str(raised.value)
    return raised.value.failure


def test_a_cluster_has_no_more_time_than_its_deadline(name_server: NameServer) -> None:
    """It fails at its deadline each time, and leaves only one thread behind."""
    for _ in range(3):
        assert failure(seconds=0.3).code is FailureCode.DEADLINE
    assert name_server.asked == [NAME]
    assert not name_server.go.is_set()


def test_a_lookup_that_times_out_is_transient(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the deadline, the cluster counts as unreachable, with the reason, and is retried."""
    monkeypatch.setattr(resolver, "LOOKUP_SECONDS", 0.2)
    found = failure()
    assert (found.code, found.transient) == (FailureCode.UNREACHABLE, True)
    assert found.detail == "no name server answered"


def test_a_name_that_does_not_exist_is_reported(name_server: NameServer) -> None:
    """Its remedy differs from that of a server that does not listen."""

    def unknown() -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    name_server.answer = unknown
    name_server.go.set()
    found = failure()
    assert (found.code, found.transient) == (FailureCode.UNREACHABLE, True)
    assert found.detail == "its name can't be resolved"


def test_a_stop_interrupts_a_lookup(name_server: NameServer) -> None:
    """A stop ends the wait for a name at once, because nothing has been sent yet."""
    timer = threading.Timer(0.3, shutdown.requested.set)
    timer.start()
    assert failure().code is FailureCode.INTERRUPTED
    assert not name_server.go.is_set()


@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", []), ("localhost", ["localhost"])])
def test_a_reused_connection_needs_no_lookup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, names: list[str]
) -> None:
    """There is one lookup per connection, and none if the server has an IP address."""
    names_asked, lookup = list[str](), resolver._Lookup

    def recorded(place: resolver.HostPort) -> resolver._Lookup:
        names_asked.append(place[0])
        return lookup(place)

    monkeypatch.setattr(resolver, "_Lookup", recorded)
    server = tls_server.answering(tmp_path, *CA.serving(), KUBE_SYSTEM)
    with listening(server) as address, client(server=f"https://{host}:{port(address)}") as one:
        assert len({one.cluster_id() for _ in range(3)}) == 1
    assert names_asked == names


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_repeated_probes_of_one_name_share_a_thread(name_server: NameServer) -> None:
    """The inventory abandons a probe at its deadline, and one thread is left waiting for the name."""
    questions = [TLSProbe(f"{NAME}:443", f"n{number}.example.org") for number in range(5)]
    for _ in range(3):
        assert set(probe_all(questions, 0.3).values()) == {LATE}
    assert name_server.asked == [NAME]
    until("the threads of the probes have ended", lambda: not threads("ask_one"))


def threads(of: str) -> list[str]:
    """The names of the running threads that contain this text."""
    return [one.name for one in threading.enumerate() if of in one.name]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_push_fails_at_its_deadline(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The run continues, its warning names the reason, and the thread of the push ends."""
    monkeypatch.setenv(pushgateway.ADDRESS, f"{scheme}://{NAME}:9091")
    monkeypatch.setattr(pushgateway, "TIMEOUT", 3.0)  # a busy machine gets as far as the lookup
    for _ in range(2):
        assert "2 of 2 pushes: no answer in 3.0 s" in push.push(report())
    assert name_server.asked == [NAME]
    until("the threads that pushed have ended", lambda: not threads("pushgateway"))


def test_a_scheduler_whose_name_is_not_resolved_fails_the_run(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails before anything is read, and says that the scheduler does not answer."""
    monkeypatch.setattr(task_runners, "CONNECT_SECONDS", 0.3)
    with pytest.raises(TimeoutError):
        task_runners._check_tcp(f"tcp://{NAME}:8786")
    assert not name_server.go.is_set()


def test_the_health_server_looks_up_no_name(name_server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's HTTP server looks up its own name when it starts, without a limit of time."""
    monkeypatch.setattr(socket, "gethostbyaddr", lambda *_: pytest.fail("a lookup at the start"))
    server = serve(0, Heartbeat(), lambda: (b"", "text/plain"))
    server.shutdown()
    server.server_close()
