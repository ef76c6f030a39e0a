"""The watcher on real API servers: what it sees, what it does at once, and what can't make it go silent."""

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
from tasks.kube.pool import kept
from tasks.report.verdict import run_verdict
from tasks.runtime import shutdown
from tasks.watch.reactor import Reconciler
from tasks.watch.source_watch import RESYNC, SourceWatch
from tasks.watch.timings import WatchTimings
from tests.support.clusters import World
from tests.support.fault_proxy import Answer, Forward, Request, SlowWrites
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.watcher_process import may_watch

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

SECONDS = 120.0
TIMINGS = WatchTimings(watch_duration=2, watch_margin=5.0, retry_backoff=(0.1,))
"""Seconds where the watcher's own take a minute."""


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled connection is noticed within seconds."""
    monkeypatch.setattr(transport, "READ_SECONDS", 4.0)


@pytest.fixture
def watching(world: World) -> Iterator[World]:
    """tls-sync may watch, as the chart lets its watcher."""
    with may_watch(world.ops):
        shutdown.begin()
        yield world


class Seen:
    """What a watch has told, in a thread of its own; followed anew where it fails."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failures: list[FailureCode] = []
        self.signs = 0
        self.watch = SourceWatch(self._alive, TIMINGS)
        self._changed, self._ended = threading.Condition(), threading.Event()

    def _alive(self) -> None:
        with self._changed:
            self.signs += 1
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

    def wait_for_sign(self) -> None:
        with self._changed:
            before = self.signs
            assert self._changed.wait_for(lambda: self.signs > before, SECONDS), self.failures

    def end(self) -> None:
        self._ended.set()
        shutdown.stop(grace=0)


@contextmanager
def followed() -> Iterator[Seen]:
    """From the first list on."""
    seen = Seen()
    thread = threading.Thread(target=seen.follow, daemon=True)
    thread.start()
    try:
        seen.wait_for(RESYNC)
        yield seen
    finally:
        seen.end()
        thread.join(SECONDS)
        shutdown.begin()


def test_each_change_is_seen(watching: World) -> None:
    """A new certificate, a renewed one and one that goes; what is of another type is none of our business."""
    (old, gone) = watching.issue("web-old-tls", "web-gone-tls")
    with followed() as seen:
        watching.issue("web-new-tls")
        seen.wait_for("web-new-tls")
        watching.put({**gone, "type": "Opaque", "metadata": {**gone["metadata"], "name": "opaque"}})
        watching.renew(old)
        seen.wait_for("web-old-tls")
        watching.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/web-gone-tls")
        seen.wait_for("web-gone-tls")
        assert "opaque" not in seen.names
        assert seen.names[0] == RESYNC
        assert seen.failures == []


def test_no_key_is_asked_for(watching: World) -> None:
    """The watch brings metadata alone: no Secret's data comes over the wire."""
    (secret,) = watching.issue("web-tls")
    told: list[bytes] = []

    def listening(request: Request, forward: Forward) -> Answer:
        answer = forward()
        told.append(answer.body)
        return answer

    with watching.proxy("ops") as proxy:
        proxy.fault = listening
        with followed() as seen:
            watching.renew(secret)
            seen.wait_for("web-tls")
    assert told
    assert not any(b'"data"' in body for body in told)


def test_a_quiet_ops_gives_signs_of_life(watching: World) -> None:
    """Where nothing changes, one request follows another without a list, each ended by the server itself."""
    watching.issue("web-tls")
    position = watching.log_position("ops")
    with followed() as seen:
        for _ in range(3):
            seen.wait_for_sign()
        assert (seen.names, seen.failures) == ([RESYNC], [])
    verbs = [one["verb"] for one in watching.requests("ops", position)]
    assert verbs.count("list") == 1
    assert verbs.count("watch") >= 3


def test_a_watch_that_is_ended_at_once_is_no_sign_of_life(watching: World) -> None:
    """A proxy that closes each watch politely does not keep it green, and OPS is listed anew."""
    with watching.proxy("ops") as proxy:
        proxy.fault = lambda request, forward: Answer(200, b"") if "watch=true" in request.path else forward()
        with followed() as seen:
            assert seen.wait_for_failure() is FailureCode.CONNECTION_LOST
            assert seen.signs == 0


def proxy_of(world: World, cluster: str) -> TcpProxy:
    return TcpProxy(int(world.sandbox.cluster(cluster).url.rpartition(":")[2]))


def test_a_stalled_connection_is_noticed(watching: World) -> None:
    """OPS that is reached no more, and does not say so, is listed anew; what changed meanwhile is seen."""
    (secret,) = watching.issue("web-tls")
    proxy = proxy_of(watching, "ops")
    with tcp_proxy(proxy) as url, watching.reached_at(url, "ops"), followed() as seen:
        seen.wait_for_sign()
        proxy.swallow = True
        watching.renew(secret)
        assert seen.wait_for_failure() in (
            FailureCode.TIMEOUT,
            FailureCode.DEADLINE,
            FailureCode.UNREACHABLE,
            FailureCode.CONNECTION_LOST,
        )
        assert "web-tls" not in seen.names
        proxy.swallow = False
        seen.wait_for("web-tls")


def test_a_connection_that_is_cut_is_made_anew(watching: World) -> None:
    """A load balancer that hangs up costs nothing but a list."""
    (secret,) = watching.issue("web-tls")
    proxy = proxy_of(watching, "ops")
    with tcp_proxy(proxy) as url, watching.reached_at(url, "ops"), followed() as seen:
        for _ in range(3):
            seen.wait_for_sign()
            proxy.hang_up()
        secret = watching.renew(secret)
        seen.wait_for("web-tls")


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
def test_a_watch_that_is_refused_is_begun_anew(
    watching: World, status: int, body: bytes, code: FailureCode
) -> None:
    """Whatever the server says in place of events, OPS is listed anew and followed from there."""
    (secret,) = watching.issue("web-tls")
    refused = threading.Event()

    def as_check_failure(request: Request, forward: Forward) -> Answer:
        if "watch=true" in request.path and not refused.is_set():
            refused.set()
            watching.renew(secret)
            return Answer(status, body)
        return forward()

    with watching.proxy("ops") as proxy:
        proxy.fault = as_check_failure
        with followed() as seen:
            seen.wait_for("web-tls")
            assert seen.failures == [code]


def test_a_missing_right_to_watch_is_named(world: World) -> None:
    """Without the verb, following ends with what to do."""
    with pytest.raises(ClusterError, match=f"watch secrets in {SOURCE_NAMESPACE}: the API server forbids it"):
        list(SourceWatch(lambda: None, TIMINGS).changes(load_config().source))


def test_one_renewal_is_copied_everywhere(world: World) -> None:
    """The reactor does for it what a run does, and looks at nothing else."""
    first, second = world.issue("web-a-tls", "web-b-tls")
    reactor = Reconciler(TIMINGS)
    with kept():
        assert counts(reactor.act([RESYNC])) == {name: {Action.CREATE: 2} for name in world.targets}
        renewed, _ = world.renew(first), world.renew(second)
        assert counts(reactor.act(["web-a-tls"])) == {name: {Action.UPDATE: 1} for name in world.targets}
    for cluster in world.targets:
        copy = world.copy("web-a-tls", cluster)
        assert copy is not None
        assert copy["data"] == renewed["data"]


def counts(report: RunReport | None) -> dict[str, dict[Action, int]]:
    assert report is not None
    assert report.inventory.failure is None
    return {one.cluster: {a: n for a, n in one.counts.items() if n} for one in report.clusters}


def test_several_are_one_run(world: World) -> None:
    """All that came together is copied in one go."""
    secrets = world.issue("web-a-tls", "web-b-tls", "web-c-tls")
    reactor = Reconciler(TIMINGS)
    reactor.act([RESYNC])
    for secret in secrets[:2]:
        world.renew(secret)
    done = counts(reactor.act(["web-a-tls", "web-b-tls"]))
    assert done == {name: {Action.UPDATE: 2, Action.KEEP: 1} for name in world.targets}


def test_what_no_route_sends_is_no_run(world: World) -> None:
    """A change of a certificate that goes nowhere asks nothing of any cluster."""
    world.issue("other-tls")
    reactor = Reconciler(TIMINGS)
    positions = {name: world.log_position(name) for name in world.targets}
    assert reactor.act(["other-tls"]) is None
    assert [world.requests(name, position) for name, position in positions.items()] == [[]] * 3


def test_a_dead_cluster_holds_up_no_other_and_heals(world: World) -> None:
    """It is told of once, left to itself, and brought in sync once it is back, with all it has missed."""
    first, second = world.issue("web-a-tls", "web-b-tls")
    reactor, told = Reconciler(TIMINGS), list[RunReport]()
    reactor.act([RESYNC])
    with world.reached_at("https://127.0.0.1:1"):
        world.renew(first)
        report = reactor.act(["web-a-tls"])
        assert report is not None
        assert {one.cluster for one in report.clusters if not one.ok} == {"dev"}
        assert reactor.troubled == {"dev"}
        world.renew(second)
        report = reactor.act(["web-b-tls"])
        assert counts(report) == {name: {Action.UPDATE: 1} for name in world.targets if name != "dev"}
        assert report is not None
        assert report.pending == ("dev",)
        tried_once(reactor, told)
        assert told == []
        assert reactor.troubled == {"dev"}
    healed(reactor, told)
    (report,) = told
    assert counts(report) == {"dev": {Action.UPDATE: 2}}


def tried_once(reactor: Reconciler, told: list[RunReport]) -> None:
    """Each cluster in trouble, and what came of it is known."""
    for _ in range(2):
        for trouble in reactor._troubles.values():
            trouble.due = 0.0
            wait([trouble.work] if trouble.work else [])
        reactor.retry_failed(told.append)


def healed(reactor: Reconciler, told: list[RunReport]) -> None:
    until = threading.Event()
    for _ in range(int(SECONDS * 10)):
        reactor.retry_failed(told.append)
        if not reactor.troubled:
            return
        until.wait(0.1)
    pytest.fail("it did not heal")


def test_a_slow_cluster_is_left_to_itself(world: World) -> None:
    """One that takes its time is not waited for; its copies come, and its report follows."""
    (secret,) = world.issue("web-tls")
    reactor, told, go_on = Reconciler(replace(TIMINGS, report_wait=0.5)), list[RunReport](), threading.Event()
    reactor.act([RESYNC])

    def slowly(_: Request, forward: Forward) -> Answer:
        go_on.wait(SECONDS)
        return forward()

    with world.proxy() as proxy:
        proxy.fault = slowly
        renewed = world.renew(secret)
        report = reactor.act(["web-tls"])
        assert report is not None
        assert {one.cluster for one in report.clusters if one.ok} == {"rct", "prd"}
        assert (run_verdict(report).ok, report.pending) == (True, ("dev",))
        go_on.set()
        healed(reactor, told)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]
    (report,) = told
    assert counts(report) == {"dev": {Action.UPDATE: 1}}
    assert report.parameters.certificate == "web-tls"


def test_what_changes_while_a_cluster_heals_reaches_it(world: World) -> None:
    """A renewal that comes just then is not missed: it goes along with the others only if it has all."""
    (secret,) = world.issue("web-tls")
    reactor, told = Reconciler(TIMINGS), list[RunReport]()
    reactor.act([RESYNC])
    with world.reached_at("https://127.0.0.1:1"):
        secret = world.renew(secret)
        reactor.act(["web-tls"])
    once = threading.Event()

    def overtaken(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if request.method == "PATCH" and not once.is_set():
            once.set()
            world.renew(secret)
            reactor.act(["web-tls"])
        return answer

    with world.proxy() as proxy:
        proxy.fault = overtaken
        healed(reactor, told)
    assert world.row("web-tls").action is Action.KEEP


def test_an_ops_that_cant_be_read_is_said(world: World) -> None:
    """Nothing is done then, and the report says why: whoever acts asks again."""
    (secret,) = world.issue("web-tls")
    reactor = Reconciler(TIMINGS)
    reactor.act([RESYNC])
    world.renew(secret)
    with world.reached_at("https://127.0.0.1:1", "ops"):
        report = reactor.act(["web-tls"])
    assert report is not None
    assert report.inventory.failure is not None
    assert report.clusters == ()
    assert counts(reactor.act(["web-tls"])) == {name: {Action.UPDATE: 1} for name in world.targets}


def test_connections_are_kept_between_renewals(world: World) -> None:
    """The second renewal opens no connection, neither to OPS nor to a target."""
    (secret,) = world.issue("web-tls")
    proxy = proxy_of(world, "dev")
    reactor = Reconciler(TIMINGS)
    with tcp_proxy(proxy) as url, world.reached_at(url), kept():
        reactor.act([RESYNC])
        before = proxy.connections
        reactor.act(["web-tls"])
        after_first = proxy.connections
        for _ in range(3):
            secret = world.renew(secret)
            assert counts(reactor.act(["web-tls"]))["dev"] == {Action.UPDATE: 1}
        assert (before > 0, proxy.connections) == (True, after_first)


def test_a_new_kubeconfig_is_used_at_once(world: World) -> None:
    """A connection that was kept does not outlive the credential that it was made with."""
    (secret,) = world.issue("web-tls")
    reactor = Reconciler(TIMINGS)
    with kept():
        reactor.act([RESYNC])
        world.edit_kubeconfig("users", "dev", token="wrong")
        world.renew(secret)
        report = reactor.act(["web-tls"])
    assert report is not None
    failures = {one.cluster: [f.code for f in one.failures] for one in report.clusters}
    assert failures == {"dev": [FailureCode.UNAUTHORIZED], "rct": [], "prd": []}


def test_a_deadline_also_ends_a_kept_connection(world: World) -> None:
    """What was opened for one task is cut when the time of the next one is up."""
    with kept(), suppress(http.client.HTTPException):
        world.issue("web-tls")
        inventory = world.inventory()
        assert world.sync(inventory=inventory).ok
        with world.proxy() as proxy:
            assert world.sync(inventory=inventory).ok
            proxy.fault = lambda _, forward: Answer(200, forward().body, seconds_per_byte=0.05)
            report = world.sync(inventory=inventory, seconds=2)
    assert [failure.code for failure in report.failures] == [FailureCode.DEADLINE]


def test_where_all_is_well_healing_reads_nothing(world: World) -> None:
    """It is asked for every second: without a cluster in trouble not even the configuration is read."""
    world.config_path.unlink()
    told: list[RunReport] = []
    Reconciler(TIMINGS).retry_failed(told.append)
    assert told == []


def test_one_hanging_cluster_holds_up_no_other_that_heals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that is in trouble is tried by itself, and told of once it is done."""
    monkeypatch.setattr(transport, "READ_SECONDS", 60.0)
    (secret,) = world.issue("web-tls")
    reactor, told, go_on = Reconciler(TIMINGS), list[RunReport](), threading.Event()
    reactor.act([RESYNC])
    with world.reached_at("https://127.0.0.1:1", "dev"), world.reached_at("https://127.0.0.1:1", "rct"):
        renewed = world.renew(secret)
        reactor.act(["web-tls"])
        assert reactor.troubled == {"dev", "rct"}

    def hanging(_: Request, forward: Forward) -> Answer:
        go_on.wait(SECONDS)
        return forward()

    with world.proxy("rct") as proxy:
        proxy.fault = hanging
        for _ in range(int(SECONDS * 10)):
            reactor.retry_failed(told.append)
            if reactor.troubled == {"rct"}:
                break
            threading.Event().wait(0.1)
        assert reactor.troubled == {"rct"}
        copy = world.copy("web-tls", "dev")
        assert copy is not None
        assert copy["data"] == renewed["data"]
        go_on.set()
        healed(reactor, told)
    assert [list(counts(report)) for report in told] == [["dev"], ["rct"]]


def test_nothing_begins_once_it_is_closed(world: World) -> None:
    """Nor goes on: who closes it waits for a cluster that is healing, too."""
    (secret,) = world.issue("web-tls")
    reactor = Reconciler(TIMINGS)
    reactor.act([RESYNC])
    with world.reached_at("https://127.0.0.1:1"):
        world.renew(secret)
        reactor.act(["web-tls"])
    slowly = SlowWrites(1)
    with world.proxy() as proxy:
        proxy.fault = slowly
        while not slowly.begun.is_set():
            reactor.retry_failed(lambda _: None)
        reactor.close()
        assert world.row("web-tls").action is Action.KEEP
        position = world.log_position("dev")
        reactor._troubles["dev"].work = None
        reactor.retry_failed(lambda _: None)
        report = reactor.act(["web-tls"])
    assert report is not None
    assert (report.clusters, set(report.pending)) == ((), set(world.targets))
    assert world.requests("dev", position) == []


def test_a_credential_that_is_mended_heals(world: World) -> None:
    """What needs a person is tried again, too, and meanwhile holds up no renewal elsewhere in the cluster."""
    (secret,) = world.issue("web-tls")
    reactor, told = Reconciler(TIMINGS), list[RunReport]()
    reactor.act([RESYNC])
    users = {one["name"]: one["user"] for one in yaml.safe_load(world.kubeconfig.read_text())["users"]}
    world.edit_kubeconfig("users", "dev", token="wrong")
    world.renew(secret)
    report = reactor.act(["web-tls"])
    assert report is not None
    assert report.pending == ()
    world.edit_kubeconfig("users", "dev", token=users["cluster-dev"]["token"])
    healed(reactor, told)
    assert counts(told[-1]) == {"dev": {Action.UPDATE: 1}}


def test_a_certificate_that_is_deleted_is_no_failure(world: World) -> None:
    """Routed by a glob, its copy is kept and reported, as by a run: nobody asked for it by name."""
    (secret,) = world.issue("web-tls")
    reactor = Reconciler(TIMINGS)
    reactor.act([RESYNC])
    world.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{secret['metadata']['name']}")
    report = reactor.act(["web-tls"])
    assert report is not None
    assert run_verdict(report).ok
    reasons = {change.reason for one in report.clusters for change in one.changes}
    assert reasons == {Reason.GONE_FROM_SOURCE}


def test_cert_manager_is_believed_as_by_a_run(cert_manager: World) -> None:
    """A Secret that its Certificate calls the wrong one goes nowhere, however few have changed."""
    world = cert_manager
    (secret,) = world.issue("web-tls")
    reactor = Reconciler(TIMINGS)
    reactor.act([RESYNC])
    renewed = world.renew(secret)
    unready = certificate_resource.certificate(renewed, ready=False, reason="IncorrectIssuer")
    certificate_resource.put(world.ops, unready)
    report = reactor.act(["web-tls"])
    assert report is not None
    assert [one.reason for one in report.inventory.rejections] == [Reason.NOT_READY]
    certificate_resource.put(world.ops, certificate_resource.certificate(renewed))
    assert counts(reactor.act(["web-tls"])) == {name: {Action.UPDATE: 1} for name in world.targets}
