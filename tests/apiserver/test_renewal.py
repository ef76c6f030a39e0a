"""What one renewal costs the watcher: which requests it sends, and which of them wait for one another."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from deployments.sandbox.world import certificate_resource
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, RunReport
from tasks.domain.reasons import Reason
from tasks.kube.pool import reuse_clients
from tasks.report.verdict import run_verdict
from tasks.watch.reconciler import MAX_CHANGES, Reconciler
from tasks.watch.source_watch import RESYNC
from tasks.watch.timings import WatchTimings
from tests.support.clusters import Manifest, World
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.watcher_process import ROLE

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

SECONDS = 60.0
TIMINGS = WatchTimings(change_wait=SECONDS, report_wait=SECONDS, retry_backoff=(0.1,))
SECRET = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/web-tls"
CERTIFICATE = f"/apis/cert-manager.io/v1/namespaces/{SOURCE_NAMESPACE}/certificates/web-tls"
COPY = "/api/v1/namespaces/app-a/secrets/web-tls"
SECRETS = "/api/v1/namespaces/app-a/secrets"
IDENTITY = {
    ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
    ("GET", "/api/v1/namespaces/kube-system"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"),
}
READ = {("ops", "GET", SECRET), ("ops", "GET", CERTIFICATE)}


@dataclass
class Requests:
    """The requests to all clusters, by cluster, method and path."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _barriers: list[threading.Barrier] = field(default_factory=list)

    def expect(self, *groups: int) -> None:
        """Hold the next requests in groups of these sizes: each group is one round trip."""
        self.seen.clear()
        self._barriers = [barrier for size in groups for barrier in [threading.Barrier(size)] * size]

    def fault(self, cluster: str, request: Request, forward: Forward) -> Answer:
        with self._lock:
            self.seen.append((cluster, request.method, request.path.partition("?")[0]))
            barrier = self._barriers.pop(0) if self._barriers else None
        if barrier:
            barrier.wait(SECONDS)
        return forward()


@contextmanager
def all_requests(world: World) -> Iterator[Requests]:
    requests = Requests()
    with ExitStack() as stack, reuse_clients():
        for name in ("ops", *world.targets):
            proxy = stack.enter_context(world.proxy(name))
            proxy.fault = partial(requests.fault, name)
        yield requests


def issue(world: World, *names: str) -> list[Manifest]:
    """Create certificates as cert-manager does, each with its Certificate."""
    secrets = world.issue(*names)
    for secret in secrets:
        certificate_resource.put(world.ops, certificate_resource.certificate(secret))
    return secrets


@pytest.fixture
def reconciler(cert_manager: World) -> Iterator[Reconciler]:
    """Of a watcher that has started; the test decides when it looks for the first time."""
    made = Reconciler(TIMINGS)
    yield made
    made.close()


def started(reconciler: Reconciler, world: World, secret: Manifest) -> Manifest:
    """Start, and renew once, so that rights have been reviewed; return the Secret."""
    assert reconciler.reconcile(RESYNC)
    renewed = world.renew(secret)
    assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
    return renewed


def written(report: RunReport | None) -> dict[str, Action]:
    """Return the one write of each cluster, and that there was no failure."""
    assert report
    assert run_verdict(report).ok, run_verdict(report).message
    return {one.cluster: row.action for one in report.clusters for row in one.changes if row.applied}


def age(reconciler: Reconciler, seconds: float) -> None:
    """Make what is known of identity and rights older."""
    for one in reconciler._targets._clusters.values():
        assert one._identified is not None
        one._identified -= seconds
        one._rights = {name: (at - seconds, found) for name, (at, found) in one._rights.items()}
        one._seen = {ref: at - seconds for ref, at in one._seen.items()}


def test_a_renewal_takes_two_round_trips(cert_manager: World, reconciler: Reconciler) -> None:
    """The Secret and its Certificate side by side, then the writes side by side, and nothing else."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with all_requests(world) as requests:
        secret = started(reconciler, world, secret)
        renewed = world.renew(secret)
        requests.expect(2, 3)
        assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
    assert set(requests.seen[:2]) == READ
    assert sorted(requests.seen[2:]) == sorted((name, "PATCH", COPY) for name in world.targets)
    assert world.is_everywhere(renewed)


def test_an_old_identity_is_verified_while_ops_is_read(cert_manager: World, reconciler: Reconciler) -> None:
    """After five minutes who we are, where, and what we may do is asked again, in the first round trip."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with all_requests(world) as requests:
        secret = started(reconciler, world, secret)
        age(reconciler, TIMINGS.identity_max_age + 1)
        renewed = world.renew(secret)
        requests.expect(2 + 3 * len(world.targets), 3)
        assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
    asked = {(name, *one) for name in world.targets for one in IDENTITY}
    assert set(requests.seen[: 2 + 9]) == READ | asked
    assert sorted(requests.seen[11:]) == sorted((name, "PATCH", COPY) for name in world.targets)
    assert world.is_everywhere(renewed)


@pytest.mark.parametrize(("seconds", "asked"), [(30, 0), (90, 3)])
def test_before_a_create_the_identity_is_a_minute_old(
    cert_manager: World, reconciler: Reconciler, seconds: int, asked: int
) -> None:
    """A copy that is not known on the target is created under an identity that was verified just now."""
    world = cert_manager
    (secret,) = issue(world, "web-old-tls")
    with all_requests(world) as requests:
        assert reconciler.reconcile(RESYNC)
        world.renew(secret)
        reconciler.reconcile("web-old-tls")
        age(reconciler, seconds)
        (new,) = issue(world, "web-tls")
        requests.expect()
        assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.CREATE)
    seen = [one for one in requests.seen if one[0] == "dev"]
    assert (len(seen), seen[-1]) == (asked + 1, ("dev", "PATCH", COPY))
    assert world.is_everywhere(new)


def test_a_burst_lists_nothing(cert_manager: World, reconciler: Reconciler) -> None:
    """Many renewals at once cost their Secret, their Certificate and one request per copy each."""
    world, number = cert_manager, 60
    secrets = issue(world, *(f"web-{index}-tls" for index in range(number)))
    with reuse_clients():
        reconciler.reconcile(RESYNC)
        renewed = [world.renew(one) for one in secrets]
        positions = {name: world.log_position(name) for name in ("ops", *world.targets)}
        names = [one["metadata"]["name"] for one in renewed]
        with ThreadPoolExecutor(MAX_CHANGES) as pool:
            reports = list(pool.map(reconciler.reconcile, names))
    assert all(written(one) == dict.fromkeys(world.targets, Action.UPDATE) for one in reports)
    assert all(map(world.is_everywhere, renewed))
    sent = {
        name: Counter((one["verb"], one["objectRef"]["resource"]) for one in world.requests(name, since))
        for name, since in positions.items()
    }
    assert sent["ops"] == {("get", "secrets"): number, ("get", "certificates"): number}
    assert sum(sent[name].total() for name in world.targets) <= 1.05 * number * len(world.targets)


def test_a_deleted_copy_is_created_by_a_look(cert_manager: World, reconciler: Reconciler) -> None:
    """The write is a conflict and creates nothing; identity and rights are asked again before the create."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with all_requests(world) as requests:
        secret = started(reconciler, world, secret)
        world.admin("dev").delete(COPY)
        renewed = world.renew(secret)
        requests.expect()
        report = reconciler.reconcile("web-tls")
    assert written(report) == dict.fromkeys(world.targets, Action.UPDATE) | {"dev": Action.CREATE}
    first, *look, last = [one[1:] for one in requests.seen if one[0] == "dev"]
    assert (first, last) == (("PATCH", COPY), ("PATCH", COPY))
    assert {*look} == IDENTITY | {("GET", SECRETS)}
    assert world.is_everywhere(renewed)


def test_an_edited_copy_is_looked_at(cert_manager: World, reconciler: Reconciler) -> None:
    """The write is a conflict; the copy is read and replaced as drifted; the next renewal is one write."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with all_requests(world) as requests:
        secret = started(reconciler, world, secret)
        world.admin("dev").patch(COPY, {"data": {"tls.crt": "bm9uc2Vuc2U="}})
        renewed = world.renew(secret)
        report = reconciler.reconcile("web-tls")
        assert report
        assert {row.reason for one in report.clusters for row in one.changes if one.cluster == "dev"} == {
            Reason.DRIFTED
        }
        assert written(report) == dict.fromkeys(world.targets, Action.UPDATE)
        assert world.is_everywhere(renewed)
        renewed = world.renew(renewed)
        requests.expect()
        reconciler.reconcile("web-tls")
    assert [one for one in requests.seen if one[0] == "dev"] == [("dev", "PATCH", COPY)]
    assert world.is_everywhere(renewed)


def test_a_write_without_an_answer_is_reported_as_made(cert_manager: World, reconciler: Reconciler) -> None:
    """The look finds the copy in sync, and the report has the update."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    lost = threading.Event()
    with world.proxy() as proxy, reuse_clients():
        secret = started(reconciler, world, secret)

        def lose_first_write(request: Request, forward: Forward) -> Answer | None:
            answer = forward()
            if request.method == "PATCH" and not lost.is_set():
                lost.set()
                return None
            return answer

        proxy.fault = lose_first_write
        renewed = world.renew(secret)
        assert written(reconciler.reconcile("web-tls")) == dict.fromkeys(world.targets, Action.UPDATE)
    assert world.is_everywhere(renewed)


def test_a_slow_cluster_holds_up_no_other_change(cert_manager: World) -> None:
    """While it does not answer, more changes than are handled at once reach the others, and later also it."""
    world, number = cert_manager, MAX_CHANGES + 2
    secrets = issue(world, *(f"web-{index}-tls" for index in range(number)))
    reconciler, go_on = Reconciler(replace(TIMINGS, change_wait=5.0)), threading.Event()

    def hold(_: Request, forward: Forward) -> Answer:
        go_on.wait(SECONDS)
        return forward()

    with world.proxy() as proxy, reuse_clients():
        reconciler.reconcile(RESYNC)
        renewed = [world.renew(one) for one in secrets]
        proxy.fault = hold
        with ThreadPoolExecutor(MAX_CHANGES) as pool:
            reports = list(pool.map(reconciler.reconcile, [one["metadata"]["name"] for one in renewed]))
        assert all(report and report.pending == ("dev",) for report in reports)
        assert all(written(report) == {"rct": Action.UPDATE, "prd": Action.UPDATE} for report in reports)
        go_on.set()
        published: list[RunReport] = []
        pause = threading.Event()
        for _ in range(int(SECONDS * 10)):
            reconciler.retry_failed(published.append)
            if not reconciler.out_of_sync:
                break
            pause.wait(0.1)
    reconciler.close()
    assert all(map(world.is_everywhere, renewed))
    rows = [
        row.target.name
        for report in published
        for one in report.clusters
        for row in one.changes
        if row.applied
    ]
    assert sorted(rows) == sorted(one["metadata"]["name"] for one in renewed)


def test_a_changed_configuration_forgets_what_was_seen(cert_manager: World, reconciler: Reconciler) -> None:
    """With other routes, or another kubeconfig, a cluster is looked at again before anything is written."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with reuse_clients():
        secret = started(reconciler, world, secret)
        for change in (
            lambda: world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "app-b"]}]),
            lambda: world.edit_kubeconfig("clusters", "dev", server=world.sandbox.cluster("dev").url),
        ):
            change()
            secret = world.renew(secret)
            position = world.log_position("dev")
            report = reconciler.reconcile("web-tls")
            assert report
            assert run_verdict(report).ok
            assert "list" in [one["verb"] for one in world.requests("dev", position)]
    assert world.is_everywhere(secret, "app-a")
    assert world.is_everywhere(secret, "app-b")


def test_another_cluster_behind_the_address_gets_nothing(cert_manager: World, reconciler: Reconciler) -> None:
    """Where the identity was verified long ago and is another one now, nothing is written."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    before = None
    with world.proxy() as proxy, reuse_clients():
        secret = started(reconciler, world, secret)
        age(reconciler, TIMINGS.identity_max_age + 1)
        uid = world.admin("dev").cluster_id().encode()

        def other_cluster(request: Request, forward: Forward) -> Answer:
            answer = forward()
            if "kube-system" in request.path:
                return replace(answer, body=answer.body.replace(uid, b"00000000-0000-0000-0000-000000000000"))
            return answer

        proxy.fault = other_cluster
        before = world.copy("web-tls")
        world.renew(secret)
        report = reconciler.reconcile("web-tls")
    assert report
    (failed,) = [one for one in report.clusters if not one.ok]
    assert [failure.code for failure in failed.failures] == [FailureCode.WRONG_CLUSTER]
    assert world.copy("web-tls") == before


def test_without_the_right_to_get_certificates_they_are_listed(
    cert_manager: World, reconciler: Reconciler
) -> None:
    """An older Role allows to list Certificates only: nothing is lost and nothing is said."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    rules = world.ops.get(ROLE)["rules"]
    narrow = [{**one, "verbs": ["list"]} if "certificates" in one["resources"] else one for one in rules]
    world.ops.patch(ROLE, {"rules": narrow})
    try:
        secret = started(reconciler, world, secret)
        renewed = world.renew(secret)
        unready = certificate_resource.certificate(renewed, ready=False, reason="IncorrectIssuer")
        certificate_resource.put(world.ops, unready)
        position = world.log_position("ops")
        report = reconciler.reconcile("web-tls")
    finally:
        world.ops.patch(ROLE, {"rules": rules})
    assert report
    assert [one.reason for one in report.snapshot.rejections] == [Reason.NOT_READY]
    assert report.snapshot.warnings == ()
    asked = [(one["verb"], one["objectRef"]["resource"]) for one in world.requests("ops", position)]
    assert sorted(asked) == [("get", "secrets"), ("list", "certificates")]


def test_a_second_event_of_a_copied_change_asks_no_target(
    cert_manager: World, reconciler: Reconciler
) -> None:
    """A copy that was written a moment ago is in sync; minutes later it is looked at again."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    with all_requests(world) as requests:
        started(reconciler, world, secret)
        requests.expect()
        assert written(reconciler.reconcile("web-tls")) == {}
        assert {name for name, *_ in requests.seen} == {"ops"}
        age(reconciler, TIMINGS.identity_max_age + 1)
        assert written(reconciler.reconcile("web-tls")) == {}
        assert ("dev", "GET", SECRETS) in requests.seen


def test_notes_follow_in_a_quiet_moment_and_cost_no_reading(
    cert_manager: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copies get their notes from what was just written; the next renewal still takes two round trips."""
    (secret,) = issue(cert_manager, "web-tls")
    reconciler = Reconciler(replace(TIMINGS, note_delay=0))
    try:
        with all_requests(cert_manager) as requests:
            renewed = started(reconciler, cert_manager, secret)
            requests.seen.clear()
            reconciler.write_notes()
            assert Counter(requests.seen) == {(name, "PATCH", COPY): 1 for name in cert_manager.targets}
            reconciler.write_notes()
            assert len(requests.seen) == len(cert_manager.targets)
            snapshot = cert_manager.listed()
            reports = [cert_manager.sync(name, snapshot) for name in cert_manager.targets]
            assert {row.reason for one in reports for row in one.changes} == {Reason.IN_SYNC}
            assert ("ops", "GET", SECRET) not in requests.seen
            requests.expect(2, len(cert_manager.targets))
            cert_manager.renew(renewed)
            report = reconciler.reconcile("web-tls")
            assert written(report) == dict.fromkeys(cert_manager.targets, Action.UPDATE)
            assert len(requests.seen) == 2 + len(cert_manager.targets)
    finally:
        reconciler.close()
