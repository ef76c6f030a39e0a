"""Pushes to a real Pushgateway, and to servers that fail in every way: no run fails or waits for them."""

import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters.pki import Authority
from tasks.config.load import VARIABLE, load_config, parse_config
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, ServedMatch, SourceSnapshot
from tasks.metrics.push import push, push_fleet, push_served, reporting_config_errors
from tasks.metrics.pushgateway import ADDRESS, AUTH, CA, TIMEOUT
from tasks.runtime.version import version
from tests.support.factories import NOW, cluster_report
from tests.support.metrics_example import DOWN, KEPT, REFUSED, report
from tests.support.monitoring import Pushgateway, pushgateway
from tests.support.waiting import PATIENCE, until
from tests.unit.metrics.test_served_samples import inventory, looked
from tests.unit.plan.test_waves import document

pytestmark = [pytest.mark.apiserver]
SERVER_TEXT = "what-a-server-says"
SUCCESS = "tls_sync_cluster_last_run_success"
LAST = "tls_sync_last_success_timestamp_seconds"
PASSWORD = "sesame-open"
HASH = "$2b$04$ZOIqu7kIUFDHoH8Jr7IZsOUxedOgnxvj12oSdlipXq4BmTU29ione"
"""Of the password `secret`, as the Pushgateway's configuration wants it."""


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushgateway]:
    with pushgateway(tmp_path) as found:
        monkeypatch.setenv(ADDRESS, found.url)
        yield found


def test_a_run_pushes_its_metrics(gateway: Pushgateway) -> None:
    """The samples have the names of docs/metrics.md, with owner and cluster as labels."""
    assert push(report(cluster_report("dev", KEPT), cluster_report("rct", REFUSED))) == ""
    assert gateway.values(SUCCESS, "owner", "cluster") == {("ops", "dev"): 1, ("ops", "rct"): 0}
    assert gateway.values(LAST, "cluster") == {("dev",): NOW.timestamp()}
    assert gateway.values("tls_sync_copy_not_after_timestamp_seconds", "cluster", "secret") == {
        ("dev", "web-tls"): KEPT.new.not_after.timestamp() if KEPT.new else None,
        ("rct", "api-tls"): REFUSED.old.not_after.timestamp() if REFUSED.old else None,
    }
    assert gateway.values("tls_sync_last_run_lost_pushes", "job") == {("tls-sync-run",): 0}


def test_a_run_says_which_version_it_was(gateway: Pushgateway) -> None:
    """A fleet's run and any other run push one series per owner, with the version as its label."""
    push_fleet(parse_config(document()), NOW, ok=True)
    ours = {("tls-sync-run", "ops", version()): 1}
    assert gateway.values("tls_sync_build_info", "job", "owner", "version") == ours
    push(report(cluster_report("dev", KEPT)))
    assert gateway.values("tls_sync_build_info", "job", "owner", "version") == ours


def test_a_run_of_one_cluster_keeps_the_others(gateway: Pushgateway) -> None:
    """A run of one cluster replaces the series of that cluster alone."""
    push(report(cluster_report("dev", KEPT), cluster_report("rct", REFUSED)))
    push(report(cluster_report("dev", REFUSED), now=NOW + timedelta(hours=1)))
    assert gateway.values(SUCCESS, "cluster") == {("dev",): 0, ("rct",): 0}
    assert set(gateway.values("tls_sync_secrets_refused", "cluster")) == {("dev",), ("rct",)}


def test_failures_come_and_go_and_the_last_success_stays(gateway: Pushgateway) -> None:
    """A failed run keeps the last success; the next run without failures removes those of the failed one."""
    push(report(cluster_report("rct", KEPT)))
    push(report(cluster_report("rct", failures=(DOWN,)), now=NOW + timedelta(hours=1)))
    assert gateway.values("tls_sync_cluster_failures", "code") == {("Unreachable",): 1}
    assert gateway.values(LAST, "cluster") == {("rct",): NOW.timestamp()}
    push(report(cluster_report("rct", KEPT), now=NOW + timedelta(hours=2)))
    assert gateway.samples("tls_sync_cluster_failures") == []
    assert gateway.values(LAST, "cluster") == {("rct",): (NOW + timedelta(hours=2)).timestamp()}


def test_a_cluster_that_left_the_configuration_vanishes(gateway: Pushgateway) -> None:
    """The next run removes its series, but not those of another owner's cluster of the same name."""
    push(report(cluster_report("dev", KEPT), cluster_report("rct", KEPT)))
    push(report(cluster_report("rct", KEPT), owner="stage", configured=("rct",)))
    assert push(report(cluster_report("dev", KEPT), configured=("dev",))) == ""
    for name in (SUCCESS, LAST, "tls_sync_copy_not_after_timestamp_seconds"):
        assert set(gateway.values(name, "owner", "cluster")) == {("ops", "dev"), ("stage", "rct")}


def test_runs_of_two_groups_keep_the_samples_of_each_other(gateway: Pushgateway) -> None:
    """The samples of all groups are there after runs that end at the same time."""
    names = [f"g{number}" for number in range(8)]
    configured = tuple(names)
    given = [
        report(cluster_report(name, KEPT), group=name, members=(name,), configured=configured)
        for name in names
    ]
    with ThreadPoolExecutor(len(given)) as pool:
        assert set(pool.map(push, given)) == {""}
    assert set(gateway.values(LAST, "cluster")) == {(name,) for name in names}


SERVED = "tls_sync_served_match"


def test_an_inventory_pushes_what_is_served_and_touches_nothing_else(gateway: Pushgateway) -> None:
    """It replaces what a run has pushed of that cluster, and keeps that of the others."""
    same, none = looked("dev", ServedMatch.SAME), looked("rct", ServedMatch.NONE)
    push(report(same, none))
    assert push_served("ops", inventory()) == ""
    assert set(gateway.values(SERVED, "cluster", "address", "match")) == {
        ("dev", "web.example.org:443", "older"),
        ("rct", "a0", "none"),
    }
    assert gateway.values(SUCCESS, "cluster") == {("dev",): 1, ("rct",): 1}
    assert push_served("ops", {}) == ""  # without addresses there is no request
    push(report(same, cluster_report("rct", KEPT)))
    assert set(gateway.values(SERVED, "cluster", "match")) == {("dev", "same"), ("rct", "none")}


def test_an_inventory_says_that_its_push_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails no inventory; without a gateway nothing is said."""
    monkeypatch.delenv(ADDRESS, raising=False)
    assert push_served("ops", inventory()) == ""
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1")
    assert push_served("ops", inventory()) == (
        "metrics: the Pushgateway did not take 1 of 1 pushes: no connection"
    )


SOURCE = "tls_sync_source_certificates"


def test_a_fleet_pushes_its_result_and_deletes_what_is_gone(gateway: Pushgateway) -> None:
    """Its end is the last run's; failures of OPS stay; series of clusters and groups that are gone vanish."""
    config = parse_config(document())  # of groups wave-1, wave-2 and wave-3
    known = ("dev", "qa", "rct", "prd", "old")
    push(
        report(
            cluster_report("old", KEPT),
            cluster_report("dev", KEPT),
            cluster_report("prd", KEPT),
            configured=known,
        )
    )
    for group, name in (("wave-1", "dev"), ("wave-1", "old"), ("gone", "rct")):
        members = ("dev", "old") if group == "wave-1" else (name,)
        push(report(cluster_report(name, KEPT), group=group, members=members, configured=known))
    push(report(cluster_report("old", KEPT), owner="stage", configured=("old",)))
    broken = Failure(code=FailureCode.UNREACHABLE, cluster="OPS", what="list secrets")
    push(report(snapshot=SourceSnapshot(failure=broken), configured=known))
    assert push_fleet(config, NOW, ok=False) == ""
    assert set(gateway.values(SUCCESS, "job", "owner", "cluster")) == {
        ("tls-sync-group-wave-1", "ops", "dev"),
        ("tls-sync", "ops", "prd"),
        ("tls-sync", "stage", "old"),
    }
    assert set(gateway.values(SOURCE, "job", "owner")) == {
        ("tls-sync-group-wave-1", "ops"),
        ("tls-sync", "stage"),
    }
    assert gateway.values("tls_sync_last_run_success", "owner")["ops",] == 0
    assert gateway.values("tls_sync_last_run_failures", "owner", "code") == {("ops", "Unreachable"): 1}
    assert push_fleet(config, NOW, ok=True) == ""
    assert gateway.values("tls_sync_last_run_success", "owner")["ops",] == 1


def test_runs_of_groups_and_of_all_clusters_take_over_from_each_other(gateway: Pushgateway) -> None:
    """Each keeps the last success of the other, and removes samples that would become outdated."""
    both = ("dev", "rct")
    push(report(cluster_report("dev", KEPT), cluster_report("rct", KEPT), configured=both))
    later = NOW + timedelta(hours=1)
    down = cluster_report("dev", failures=(DOWN,))
    push(report(down, group="eu", members=("dev",), configured=both, now=later))
    assert gateway.values(LAST, "job", "cluster")["tls-sync-group-eu", "dev"] == NOW.timestamp()
    push(report(cluster_report("dev", KEPT), group="eu", members=("dev",), configured=both, now=later))
    push(report(cluster_report("rct", KEPT), configured=both, now=later))
    assert ("tls-sync-group-eu", "dev") in gateway.values(LAST, "job", "cluster")
    push(report(down, cluster_report("rct", KEPT), configured=both, now=later + timedelta(hours=1)))
    assert gateway.values(LAST, "job", "cluster")["tls-sync", "dev"] == later.timestamp()
    assert set(gateway.values(SOURCE, "job")) == {("tls-sync",)}
    assert set(gateway.values(LAST, "job")) == {("tls-sync",)}


def test_a_dry_run_pushes_nothing(gateway: Pushgateway) -> None:
    """A dry run is no success, and removes no failure."""
    push(report(cluster_report("dev", REFUSED)))
    before = gateway.samples(SUCCESS), gateway.samples("push_time_seconds")
    assert push(report(cluster_report("dev", KEPT), dry_run=True)) == ""
    assert (gateway.samples(SUCCESS), gateway.samples("push_time_seconds")) == before


def test_an_unreadable_configuration_is_pushed(
    gateway: Pushgateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is `unknown` if it can't be read; the next run that can read it removes both failures."""
    failures = "tls_sync_last_run_failures"
    path = tmp_path / "tls-sync.yaml"
    monkeypatch.setenv(VARIABLE, str(path))
    for content, owner in (("owner: ops\nclusters: 7", "ops"), ("{", "unknown"), (None, "unknown")):
        path.unlink(missing_ok=True)
        if content:
            path.write_text(content)
        with pytest.raises(ConfigError, match=r"tls-sync.yaml"), reporting_config_errors():
            load_config()
        assert gateway.values(failures, "owner", "code")[owner, "ConfigurationInvalid"] == 1
    assert set(gateway.values(failures, "owner")) == {("ops",), ("unknown",)}
    push(report(cluster_report("dev", KEPT)))
    assert gateway.samples(failures) == []
    assert set(gateway.values("tls_sync_last_run_success", "owner")) == {("ops",)}


def test_without_an_address_nothing_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without a Pushgateway starts no thread and returns no message."""
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr("tasks.metrics.push.Thread", None)
    assert push(report(cluster_report("dev", KEPT))) == ""


def test_a_gateway_with_tls_and_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the CA and the password the push arrives; without either the message says what to check."""
    authority = Authority("monitoring")
    key, certificate = authority.serving()
    for name, content in (("key.pem", key), ("cert.pem", certificate)):
        (tmp_path / name).write_bytes(content)
    tls = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    web = {"tls_server_config": tls, "basic_auth_users": {"ops": HASH}}
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(web))
    with pushgateway(tmp_path, f"--web.config.file={tmp_path / 'web.yaml'}", health="") as found:
        monkeypatch.setenv(ADDRESS, f"https://127.0.0.1:{found.port}")
        monkeypatch.setenv(AUTH, "ops:secret\n")
        monkeypatch.setenv(CA, authority.pem.decode())
        until("a push over TLS", lambda: push(report(cluster_report("dev", KEPT))) == "")
        monkeypatch.setenv(AUTH, f"ops:{PASSWORD}")
        lost = push(report(cluster_report("dev", KEPT)))
        assert lost.endswith(f"2 of 2 pushes: HTTP 401; check {AUTH}")
        monkeypatch.setenv(CA, Authority("another").pem.decode())
        assert "TLS failed: its certificate could not be verified" in push(
            report(cluster_report("dev", KEPT))
        )


@contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Run a server that handles each connection with `answer` until the end of the block."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            answer(connection, ended)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def silent(_: socket.socket, ended: threading.Event) -> None:
    ended.wait(PATIENCE)


def dripping(connection: socket.socket, ended: threading.Event) -> None:
    """Send a byte every 0.1 seconds, so that no read timeout ends it."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not ended.wait(0.1):
        connection.sendall(b"x")


def endless(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.is_set():
        connection.sendall(b"x" * 1024)


def responding(status: str) -> Callable[[socket.socket, threading.Event], None]:
    def respond(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        head = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/{SERVER_TEXT}"
        length = f"Content-Length: {len(SERVER_TEXT)}\r\nConnection: close"
        connection.sendall(f"{head}\r\n{length}\r\n\r\n{SERVER_TEXT}".encode())

    return respond


def hung_up(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(65536)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (silent, f"2 of 2 pushes: no answer in {TIMEOUT} s"),
        (dripping, f"2 of 2 pushes: no answer in {TIMEOUT} s"),
        (endless, f"2 of 2 pushes: no answer in {TIMEOUT} s"),
        (responding("500 Internal Server Error"), "2 of 2 pushes: HTTP 500"),
        (
            responding("307 Temporary Redirect"),
            f"a redirect, which is not followed; check {ADDRESS}",
        ),
        (responding("nonsense"), "2 of 2 pushes: the connection broke before the answer"),
        (hung_up, "2 of 2 pushes: the connection broke before the answer"),
    ],
    ids=["silent", "dripping", "endless", "500", "redirecting", "nonsense", "hung up"],
)
def test_a_failing_gateway_costs_one_line_and_less_than_two_seconds(
    answer: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push returns while the server still holds the connection; the line has no text of the server."""
    assert TIMEOUT < 2
    with answering(answer) as url:  # the server ends only after the push has returned
        monkeypatch.setenv(ADDRESS, url)
        lost = push(report(cluster_report("dev", KEPT)))
    assert lost.startswith("metrics: the Pushgateway did not take ")
    assert why in lost
    assert "\n" not in lost
    assert SERVER_TEXT not in lost


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({ADDRESS: "http://127.0.0.1:1"}, "no connection"),
        ({ADDRESS: "http://nobody.invalid:9091"}, "no connection"),
        ({ADDRESS: "pushgateway:9091"}, f"{ADDRESS} is not an http:// or https:// address"),
        ({ADDRESS: f"http://ops:{PASSWORD}@127.0.0.1:1"}, f"{ADDRESS} is not an http:// or https:// address"),
        ({ADDRESS: "http://127.0.0.1:1", AUTH: PASSWORD}, f"{AUTH} is not user:password"),
        ({ADDRESS: "https://127.0.0.1:1", CA: PASSWORD}, f"{CA} is not a certificate in PEM"),
        ({ADDRESS: "https://127.0.0.1:1", CA: f"{PASSWORD}é"}, f"{CA} is not a certificate in PEM"),
        ({ADDRESS: "http://127.0.0.1:1", AUTH: f"ops:{PASSWORD}\udce9"}, "no connection"),  # sent as it is
    ],
    ids=["closed", "unknown name", "no scheme", "user in it", "no user", "no CA", "letters", "bytes"],
)
def test_a_wrong_setting_costs_one_line(
    variables: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the wrong variable, and does not contain its value."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    lost = push(report(cluster_report("dev", KEPT)))
    assert why in lost
    assert PASSWORD not in lost
    assert "\n" not in lost


def test_lost_pushes_are_counted(gateway: Pushgateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the gateway refuses one push of two, the other one has the number of lost pushes."""
    from tasks.metrics.registry import text  # noqa: PLC0415  before it is replaced

    def spoilt(samples: Any) -> bytes:
        made = text(samples)
        return made + b"\ntls_sync_copies_dropped{" if b"tls_sync_copies" in made else made

    monkeypatch.setattr("tasks.metrics.registry.text", spoilt)
    lost = push(report(cluster_report("dev", KEPT), cluster_report("rct", KEPT)))
    assert lost == "metrics: the Pushgateway did not take 1 of 2 pushes: HTTP 400"
    assert gateway.values("tls_sync_last_run_lost_pushes", "owner") == {("ops",): 1}
    monkeypatch.setattr("tasks.metrics.registry.text", text)
    assert push(report(cluster_report("dev", KEPT))) == ""
    assert gateway.values("tls_sync_last_run_lost_pushes", "owner") == {("ops",): 0}


def test_samples_of_others_are_ignored(gateway: Pushgateway) -> None:
    """Metrics and labels that tls-sync does not define are not pushed again."""
    push(report(cluster_report("dev", KEPT)))
    evil = 'tls_sync_secrets_pending{cluster="dev",evil="1"} 1'  # in place of the one without
    body = f'tls_sync_evil{{cluster="rct"}} 1\n{evil}\n'.encode()
    where = f"{gateway.url}/metrics/job/tls-sync/owner/ops"
    urllib.request.urlopen(urllib.request.Request(where, body, method="POST"), timeout=30).close()
    assert gateway.samples("tls_sync_evil")
    assert push(report(cluster_report("rct", KEPT))) == ""
    assert gateway.samples("tls_sync_evil") == []
    assert gateway.values("tls_sync_secrets_pending", "cluster") == {("rct",): 0}
    assert set(gateway.values(SUCCESS, "cluster")) == {("dev",), ("rct",)}
