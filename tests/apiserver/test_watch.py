"""The parts of the watcher on real API servers: which changes they see, copy and retry."""

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import yaml

from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.config.load import load_config
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, RunReport
from tasks.domain.reasons import Reason
from tasks.kube import transport
from tasks.kube.pool import reuse_clients
from tasks.report.verdict import run_verdict
from tasks.runtime import shutdown
from tasks.watch.reconciler import Reconciler
from tasks.watch.source_watch import RESYNC, SourceWatch
from tasks.watch.timings import WatchTimings
from tests.support.clusters import World
from tests.support.fault_proxy import Answer, Forward, Request, SlowWrites
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.watcher_process import may_watch

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

SECONDS = 120.0
TIMINGS = WatchTimings(watch_duration=2, watch_margin=5.0, retry_backoff=(0.1,), change_wait=60.0)
"""Waits of seconds, where the watcher's own last up to a minute."""


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled connection is noticed within seconds."""
    monkeypatch.setattr(transport, "READ_SECONDS", 4.0)


@pytest.fixture
def watching(world: World) -> Iterator[World]:
    """tls-sync may watch, as the chart allows its watcher."""
    with may_watch(world.ops):
        shutdown.begin_run()
        yield world


class Follower:
    """Runs a watch in a thread, again after each failure, and stores what it brings."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failures: list[FailureCode] = []
        self.activity = 0
        self.watch = SourceWatch(self._count, TIMINGS)
        self._changed, self._ended = threading.Condition(), threading.Event()

    def _count(self) -> None:
        with self._changed:
            self.activity += 1
            self._changed.notify_all()

    def follow(self) -> None:
        while not self._ended.is_set():
            try:
                for name in self.watch.changes(load_config().source):
                    with self._changed:
                        self.names.append(name)
                        self._changed.notify_all()
                    if self._ended.is_set():
                        return
            except ClusterError as error:
                with self._changed:
                    self.failures.append(error.failure.code)
                    self._changed.notify_all()
                self._ended.wait(0.1)

    def wait_for(self, name: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: name in self.names, SECONDS), (self.names, self.failures)

    def wait_for_failure(self) -> FailureCode:
        with self._changed:
            assert self._changed.wait_for(lambda: self.failures, SECONDS)
            return self.failures[0]

    def wait_for_activity(self) -> None:
        with self._changed:
            before = self.activity
            assert self._changed.wait_for(lambda: self.activity > before, SECONDS), self.failures

    def end(self) -> None:
        self._ended.set()
        shutdown.stop(grace=0)


@contextmanager
def following() -> Iterator[Follower]:
    """Follow OPS; the block begins after the first list."""
    follower = Follower()
    thread = threading.Thread(target=follower.follow, daemon=True)
    thread.start()
    try:
        follower.wait_for(RESYNC)
        yield follower
    finally:
        follower.end()
        thread.join(SECONDS)
        shutdown.begin_run()


def test_each_change_is_named(watching: World) -> None:
    """New, renewed and deleted TLS Secrets are named; a Secret of another type is not."""
    (old, gone) = watching.issue("web-old-tls", "web-gone-tls")
    with following() as follower:
        watching.issue("web-new-tls")
        follower.wait_for("web-new-tls")
        watching.put({**gone, "type": "Opaque", "metadata": {**gone["metadata"], "name": "opaque"}})
        watching.renew(old)
        follower.wait_for("web-old-tls")
        watching.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/web-gone-tls")
        follower.wait_for("web-gone-tls")
        assert "opaque" not in follower.names
        assert follower.names[0] == RESYNC
        assert follower.failures == []


def test_no_response_has_a_key(watching: World) -> None:
    """The watch requests metadata only: no Secret's data comes over the wire."""
    (secret,) = watching.issue("web-tls")
    bodies: list[bytes] = []

    def record(request: Request, forward: Forward) -> Answer:
        answer = forward()
        bodies.append(answer.body)
        return answer

    with watching.proxy("ops") as proxy:
        proxy.fault = record
        with following() as follower:
            watching.renew(secret)
            follower.wait_for("web-tls")
    assert bodies
    assert not any(b'"data"' in body for body in bodies)


def test_a_quiet_ops_is_activity(watching: World) -> None:
    """While nothing changes, watch requests follow one another without a list; the server ends each."""
    watching.issue("web-tls")
    position = watching.log_position("ops")
    with following() as follower:
        for _ in range(3):
            follower.wait_for_activity()
        assert (follower.names, follower.failures) == ([RESYNC], [])
    verbs = [one["verb"] for one in watching.requests("ops", position)]
    assert verbs.count("list") == 1
    assert verbs.count("watch") >= 3


def test_a_watch_that_is_ended_at_once_is_no_activity(watching: World) -> None:
    """A proxy that closes each watch cleanly does not keep `/healthz` at 200, and OPS is listed again."""
    with watching.proxy("ops") as proxy:
        proxy.fault = lambda request, forward: Answer(200, b"") if "watch=true" in request.path else forward()
        with following() as follower:
            assert follower.wait_for_failure() is FailureCode.CONNECTION_LOST
            assert follower.activity == 0


def proxy_of(world: World, cluster: str) -> TcpProxy:
    return TcpProxy(int(world.sandbox.cluster(cluster).url.rpartition(":")[2]))


def test_a_stalled_connection_is_noticed(watching: World) -> None:
    """If OPS becomes unreachable without a reset, it is listed again, and the changes meanwhile are named."""
    (secret,) = watching.issue("web-tls")
    proxy = proxy_of(watching, "ops")
    with tcp_proxy(proxy) as url, watching.reached_at(url, "ops"), following() as follower:
        follower.wait_for_activity()
        proxy.swallow = True
        watching.renew(secret)
        assert follower.wait_for_failure() in (
            FailureCode.TIMEOUT,
            FailureCode.DEADLINE,
            FailureCode.UNREACHABLE,
            FailureCode.CONNECTION_LOST,
        )
        assert "web-tls" not in follower.names
        proxy.swallow = False
        follower.wait_for("web-tls")


def test_after_a_cut_connection_ops_is_listed_again(watching: World) -> None:
    """A load balancer that closes connections loses no change."""
    (secret,) = watching.issue("web-tls")
    proxy = proxy_of(watching, "ops")
    with tcp_proxy(proxy) as url, watching.reached_at(url, "ops"), following() as follower:
        for _ in range(3):
            follower.wait_for_activity()
            proxy.hang_up()
        secret = watching.renew(secret)
        follower.wait_for("web-tls")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (410, b"{}", FailureCode.LIST_EXPIRED),
        (
            200,
            b'{"type":"ERROR","object":{"kind":"Status","code":410,"metadata":{}}}\n',
            FailureCode.LIST_EXPIRED,
        ),
        (200, b"nonsense\n", FailureCode.PROTOCOL),
        (500, b"{}", FailureCode.SERVER_ERROR),
        (401, b"{}", FailureCode.UNAUTHORIZED),
    ],
    ids=["410", "410 as an event", "nonsense", "500", "401"],
)
def test_after_an_error_ops_is_listed_again(
    watching: World, status: int, body: bytes, code: FailureCode
) -> None:
    """Whatever the server returns in place of events, OPS is listed again, and no change is lost."""
    (secret,) = watching.issue("web-tls")
    failed = threading.Event()

    def fail_once(request: Request, forward: Forward) -> Answer:
        if "watch=true" in request.path and not failed.is_set():
            failed.set()
            watching.renew(secret)
            return Answer(status, body)
        return forward()

    with watching.proxy("ops") as proxy:
        proxy.fault = fail_once
        with following() as follower:
            follower.wait_for("web-tls")
            assert follower.failures == [code]


def test_a_missing_permission_to_watch_is_named(world: World) -> None:
    """Without the verb `watch`, the error names the verb and the namespace."""
    with pytest.raises(ClusterError, match=f"watch secrets in {SOURCE_NAMESPACE}: the API server forbids it"):
        list(SourceWatch(lambda: None, TIMINGS).changes(load_config().source))


def test_one_renewal_is_copied_everywhere(world: World) -> None:
    """The reconciler copies it as a run does, and touches no other certificate."""
    first, second = world.issue("web-a-tls", "web-b-tls")
    reconciler = Reconciler(TIMINGS)
    with reuse_clients():
        assert counts(reconciler.reconcile(RESYNC)) == {name: {Action.CREATE: 2} for name in world.targets}
        renewed, _ = world.renew(first), world.renew(second)
        assert counts(reconciler.reconcile("web-a-tls")) == {
            name: {Action.UPDATE: 1} for name in world.targets
        }
    for cluster in world.targets:
        copy = world.copy("web-a-tls", cluster)
        assert copy is not None
        assert copy["data"] == renewed["data"]


def counts(report: RunReport | None) -> dict[str, dict[Action, int]]:
    assert report is not None
    assert report.snapshot.failure is None
    return {one.cluster: {a: n for a, n in one.counts.items() if n} for one in report.clusters}


def test_a_certificate_without_route_sends_no_request(world: World) -> None:
    """A change of a certificate that no route names sends no request to any cluster."""
    world.issue("other-tls")
    reconciler = Reconciler(TIMINGS)
    positions = {name: world.log_position(name) for name in world.targets}
    assert reconciler.reconcile("other-tls") is None
    assert [world.requests(name, position) for name, position in positions.items()] == [[]] * 3


def test_a_dead_cluster_delays_no_other_and_is_retried(world: World) -> None:
    """It is reported once, isolated, and synced once it is back, with every change that it missed."""
    first, second = world.issue("web-a-tls", "web-b-tls")
    reconciler, reports = Reconciler(TIMINGS), list[RunReport]()
    reconciler.reconcile(RESYNC)
    with world.reached_at("https://127.0.0.1:1"):
        world.renew(first)
        report = reconciler.reconcile("web-a-tls")
        assert report is not None
        assert {one.cluster for one in report.clusters if not one.ok} == {"dev"}
        assert reconciler.out_of_sync == {"dev"}
        world.renew(second)
        report = reconciler.reconcile("web-b-tls")
        assert counts(report) == {name: {Action.UPDATE: 1} for name in world.targets if name != "dev"}
        assert report is not None
        assert report.pending == ("dev",)
        retry_once(reconciler, reports)
        assert reports == []
        assert reconciler.out_of_sync == {"dev"}
    retry_until_in_sync(reconciler, reports)
    (report,) = reports
    assert counts(report) == {"dev": {Action.UPDATE: 2}}


def retry_once(reconciler: Reconciler, reports: list[RunReport]) -> None:
    """Retry each failed cluster at once, and wait for the result."""
    for _ in range(2):
        for one in reconciler._clusters._out_of_sync.values():
            one.retry_at = 0.0
            wait([one.future] if one.future else [])
        reconciler.retry_failed(reports.append)


def retry_until_in_sync(reconciler: Reconciler, reports: list[RunReport]) -> None:
    until = threading.Event()
    for _ in range(int(SECONDS * 10)):
        reconciler.retry_failed(reports.append)
        if not reconciler.out_of_sync:
            return
        until.wait(0.1)
    pytest.fail("a cluster is still out of sync")


def test_a_slow_cluster_is_isolated(world: World) -> None:
    """The report does not wait for it; its copies are written, and its own report follows."""
    (secret,) = world.issue("web-tls")
    reconciler, reports, go_on = (
        Reconciler(replace(TIMINGS, change_wait=0.5)),
        list[RunReport](),
        threading.Event(),
    )
    reconciler.reconcile(RESYNC)

    def wait_for_event(_: Request, forward: Forward) -> Answer:
        go_on.wait(SECONDS)
        return forward()

    with world.proxy() as proxy:
        proxy.fault = wait_for_event
        renewed = world.renew(secret)
        report = reconciler.reconcile("web-tls")
        assert report is not None
        assert {one.cluster for one in report.clusters if one.ok} == {"rct", "prd"}
        assert (run_verdict(report).ok, report.pending) == (True, ("dev",))
        go_on.set()
        retry_until_in_sync(reconciler, reports)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]
    (report,) = reports
    assert counts(report) == {"dev": {Action.UPDATE: 1}}
    assert report.parameters.certificate == "web-tls"


def test_a_change_during_a_retry_reaches_the_cluster(world: World) -> None:
    """The cluster is isolated until a sync that began after the last renewal has succeeded."""
    (secret,) = world.issue("web-tls")
    reconciler, reports = Reconciler(TIMINGS), list[RunReport]()
    reconciler.reconcile(RESYNC)
    with world.reached_at("https://127.0.0.1:1"):
        secret = world.renew(secret)
        reconciler.reconcile("web-tls")
    once = threading.Event()

    def overtaken(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if request.method == "PATCH" and not once.is_set():
            once.set()
            world.renew(secret)
            reconciler.reconcile("web-tls")
        return answer

    with world.proxy() as proxy:
        proxy.fault = overtaken
        retry_until_in_sync(reconciler, reports)
    assert world.row("web-tls").action is Action.KEEP


def test_an_unreadable_ops_is_reported(world: World) -> None:
    """No cluster is touched, the report has the failure, and the next attempt copies the change."""
    (secret,) = world.issue("web-tls")
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    world.renew(secret)
    with world.reached_at("https://127.0.0.1:1", "ops"):
        report = reconciler.reconcile("web-tls")
    assert report is not None
    assert report.snapshot.failure is not None
    assert report.clusters == ()
    assert counts(reconciler.reconcile("web-tls")) == {name: {Action.UPDATE: 1} for name in world.targets}


def test_connections_are_reused(world: World) -> None:
    """A second renewal opens no connection to a target."""
    (secret,) = world.issue("web-tls")
    proxy = proxy_of(world, "dev")
    reconciler = Reconciler(TIMINGS)
    with tcp_proxy(proxy) as url, world.reached_at(url), reuse_clients():
        reconciler.reconcile(RESYNC)
        before = proxy.connections
        reconciler.reconcile("web-tls")
        after_first = proxy.connections
        for _ in range(3):
            secret = world.renew(secret)
            assert counts(reconciler.reconcile("web-tls"))["dev"] == {Action.UPDATE: 1}
        assert (before > 0, proxy.connections) == (True, after_first)


def test_a_new_kubeconfig_is_used_at_once(world: World) -> None:
    """A connection is not reused with another credential than the one that it was opened with."""
    (secret,) = world.issue("web-tls")
    reconciler = Reconciler(TIMINGS)
    with reuse_clients():
        reconciler.reconcile(RESYNC)
        world.edit_kubeconfig("users", "dev", token="wrong")
        world.renew(secret)
        report = reconciler.reconcile("web-tls")
    assert report is not None
    failures = {one.cluster: [f.code for f in one.failures] for one in report.clusters}
    assert failures == {"dev": [FailureCode.UNAUTHORIZED], "rct": [], "prd": []}


def test_a_deadline_also_cuts_a_reused_connection(world: World) -> None:
    """A connection that an earlier task opened is cut at the deadline of the task that uses it."""
    with reuse_clients(), suppress(http.client.HTTPException):
        world.issue("web-tls")
        snapshot = world.snapshot()
        assert world.sync(snapshot=snapshot).ok
        with world.proxy() as proxy:
            assert world.sync(snapshot=snapshot).ok
            proxy.fault = lambda _, forward: Answer(200, forward().body, seconds_per_byte=0.05)
            report = world.sync(snapshot=snapshot, seconds=2)
    assert [failure.code for failure in report.failures] == [FailureCode.DEADLINE]


def test_without_a_failed_cluster_a_retry_reads_nothing(world: World) -> None:
    """Retries are checked every second: if no cluster failed, not even the configuration is read."""
    world.config_path.unlink()
    reports: list[RunReport] = []
    Reconciler(TIMINGS).retry_failed(reports.append)
    assert reports == []


def test_a_hanging_cluster_delays_no_other_retry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failed cluster is retried independently, and reported once it is done."""
    monkeypatch.setattr(transport, "READ_SECONDS", 60.0)
    (secret,) = world.issue("web-tls")
    reconciler, reports, go_on = Reconciler(TIMINGS), list[RunReport](), threading.Event()
    reconciler.reconcile(RESYNC)
    with world.reached_at("https://127.0.0.1:1", "dev"), world.reached_at("https://127.0.0.1:1", "rct"):
        renewed = world.renew(secret)
        reconciler.reconcile("web-tls")
        assert reconciler.out_of_sync == {"dev", "rct"}

    def hanging(_: Request, forward: Forward) -> Answer:
        go_on.wait(SECONDS)
        return forward()

    with world.proxy("rct") as proxy:
        proxy.fault = hanging
        for _ in range(int(SECONDS * 10)):
            reconciler.retry_failed(reports.append)
            if reconciler.out_of_sync == {"rct"}:
                break
            threading.Event().wait(0.1)
        assert reconciler.out_of_sync == {"rct"}
        copy = world.copy("web-tls", "dev")
        assert copy is not None
        assert copy["data"] == renewed["data"]
        go_on.set()
        retry_until_in_sync(reconciler, reports)
    assert [list(counts(report)) for report in reports] == [["dev"], ["rct"]]


def test_nothing_starts_after_close(world: World) -> None:
    """Closing waits for a retry that is under way, and no request is sent afterwards."""
    (secret,) = world.issue("web-tls")
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    with world.reached_at("https://127.0.0.1:1"):
        world.renew(secret)
        reconciler.reconcile("web-tls")
    slow_writes = SlowWrites(1)
    with world.proxy() as proxy:
        proxy.fault = slow_writes
        while not slow_writes.begun.is_set():
            reconciler.retry_failed(lambda _: None)
        reconciler.close()
        assert world.row("web-tls").action is Action.KEEP
        position = world.log_position("dev")
        reconciler._clusters._out_of_sync["dev"].future = None
        reconciler.retry_failed(lambda _: None)
        report = reconciler.reconcile("web-tls")
    assert report is not None
    assert (report.clusters, set(report.pending)) == ((), set(world.targets))
    assert world.requests("dev", position) == []


def test_a_corrected_credential_is_used(world: World) -> None:
    """A failure that needs a person is retried, too, and does not isolate its cluster."""
    (secret,) = world.issue("web-tls")
    reconciler, reports = Reconciler(TIMINGS), list[RunReport]()
    reconciler.reconcile(RESYNC)
    users = {one["name"]: one["user"] for one in yaml.safe_load(world.kubeconfig.read_text())["users"]}
    world.edit_kubeconfig("users", "dev", token="wrong")
    world.renew(secret)
    report = reconciler.reconcile("web-tls")
    assert report is not None
    assert report.pending == ()
    world.edit_kubeconfig("users", "dev", token=users["cluster-dev"]["token"])
    retry_until_in_sync(reconciler, reports)
    assert counts(reports[-1]) == {"dev": {Action.UPDATE: 1}}


def test_a_deleted_certificate_is_no_failure(world: World) -> None:
    """If a glob routes it, its copy stays and is reported, as by a run that nobody limited to it."""
    (secret,) = world.issue("web-tls")
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    world.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{secret['metadata']['name']}")
    report = reconciler.reconcile("web-tls")
    assert report is not None
    assert run_verdict(report).ok
    reasons = {change.reason for one in report.clusters for change in one.changes}
    assert reasons == {Reason.GONE_FROM_SOURCE}


def test_a_certificate_that_is_not_ready_is_not_copied(cert_manager: World) -> None:
    """A Secret whose Certificate is not Ready is rejected, also when only that one is read."""
    world = cert_manager
    (secret,) = world.issue("web-tls")
    reconciler = Reconciler(TIMINGS)
    reconciler.reconcile(RESYNC)
    renewed = world.renew(secret)
    unready = certificate_resource.certificate(renewed, ready=False, reason="IncorrectIssuer")
    certificate_resource.put(world.ops, unready)
    report = reconciler.reconcile("web-tls")
    assert report is not None
    assert [one.reason for one in report.snapshot.rejections] == [Reason.NOT_READY]
    certificate_resource.put(world.ops, certificate_resource.certificate(renewed))
    assert counts(reconciler.reconcile("web-tls")) == {name: {Action.UPDATE: 1} for name in world.targets}
