"""Faults that a real API server can't be brought to show, made by a proxy before a real one."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Change, ClusterReport
from tasks.domain.reasons import Reason
from tasks.kube import calls, client
from tasks.target.apply import SecretApplier
from tests.support.clusters import World, codes
from tests.support.fault_proxy import LONG, LOST, Answer, Fault, Forward, Request, fault_proxy
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.apiserver

COPY = "/api/v1/namespaces/app-a/secrets/web-tls"
FOREIGN_KEY = {"data": {"added.by.hand": "eA=="}}


def on(method: str, path: str, answer: Answer | None) -> Fault:
    """Give this answer where the path contains `path`; the real server's elsewhere."""

    def fault(request: Request, forward: Forward) -> Answer | None:
        return answer if request.method == method and path in request.path else forward()

    return fault


def rewritten(path: str, **changes: object) -> Fault:
    """The real server's answer with other metadata."""

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if path not in request.path:
            return answer
        content = json.loads(answer.body)
        content["metadata"] |= changes
        return Answer(answer.status, json.dumps(content).encode(), answer.headers)

    return fault


def the_same_page(path: str) -> Fault:
    """The first page of a list again and again, each time with the promise of another one."""
    first = rewritten(path, **{"continue": "more"})
    seen: list[Answer | None] = []

    def fault(request: Request, forward: Forward) -> Answer | None:
        if path not in request.path:
            return forward()
        if not seen:
            seen.append(first(request, forward))
        return seen[0]

    return fault


def deliver_through(world: World, fault: Fault) -> ClusterReport:
    with world.proxy() as proxy:
        proxy.fault = fault
        return world.sync(snapshot=world.snapshot())


def test_without_a_fault_the_proxy_is_an_api_server(world: World) -> None:
    """Create, keep, update and the repair of an edited copy work through the proxy as they do without."""
    (secret,) = world.issue("web-tls")
    with world.proxy() as proxy:
        assert world.row("web-tls").reason is Reason.MISSING_ON_TARGET
        assert world.row("web-tls").reason is Reason.IN_SYNC
        renewed = world.renew(secret)
        assert world.row("web-tls").reason is Reason.CERTIFICATE_RENEWED
        world.admin().patch(COPY, FOREIGN_KEY)
        assert world.row("web-tls").reason is Reason.DRIFTED
        assert {request.method for request in proxy.requests} == {"GET", "PATCH", "POST"}
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]


def test_an_api_server_behind_a_path_is_asked_below_it(world: World) -> None:
    """As a gateway before many clusters has it: each request, the first and the last, keeps the path."""
    world.issue("web-tls")
    snapshot, path = world.snapshot(), "/k8s/clusters/c-1"
    with fault_proxy(world.sandbox.cluster("dev"), world.sandbox.authority) as proxy:

        def gateway(request: Request, _: Forward) -> Answer:
            behind = request.path.removeprefix(path)
            return proxy.forward(request._replace(path=behind)) if behind != request.path else Answer(404)

        proxy.fault = gateway
        with world.reached_at(f"{proxy.url}{path}/"):
            assert world.row("web-tls", snapshot=snapshot).reason is Reason.MISSING_ON_TARGET
            assert world.row("web-tls", snapshot=snapshot).reason is Reason.IN_SYNC


def test_nothing_is_sent_again_in_secret(world: World) -> None:
    """Whether a request is sent again is decided here, never by a library: one lost answer is a failure."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    with world.proxy() as proxy:
        proxy.fault = first(1, LOST, "GET")
        assert codes(world.sync(snapshot=snapshot)) == [FailureCode.CONNECTION_LOST]


def test_only_updates_of_ours_are_forced(world: World) -> None:
    """A create is never forced, beside all else that keeps it from what exists; an update of a copy is."""
    (secret,) = world.issue("web-tls")
    with world.proxy() as proxy:
        world.sync()
        world.renew(secret)
        world.sync()
        writes = [request.path for request in proxy.requests if request.method == "PATCH"]
    assert [path.partition("force=")[2] for path in writes] == ["false", "true"]


def test_a_dripping_body_ends_with_the_deadline(world: World) -> None:
    """A server that sends a byte now and then is cut off when the cluster's time is up."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    dripping = Answer(200, b"{" + b" " * 300, seconds_per_byte=0.1)
    with world.proxy() as proxy:
        proxy.fault = on("GET", "/app-a/secrets", dripping)
        report = world.sync(snapshot=snapshot, seconds=1.5)
        assert not proxy.dripped.is_set()
    assert codes(report) == [FailureCode.DEADLINE]


@pytest.mark.parametrize(
    ("fault", "code", "transient"),
    [
        (on("GET", "kube-system", LOST), FailureCode.CONNECTION_LOST, True),
        (on("GET", "kube-system", Answer(302, headers={"Location": COPY})), FailureCode.PROTOCOL, False),
        (on("GET", "kube-system", Answer(200, b"<html>")), FailureCode.PROTOCOL, False),
        (on("GET", "kube-system", Answer(204, b"")), FailureCode.PROTOCOL, False),
        (on("GET", "kube-system", Answer(429)), FailureCode.THROTTLED, True),
        (on("GET", "kube-system", Answer(503)), FailureCode.SERVER_ERROR, True),
        (rewritten("kube-system", uid="../../secrets"), FailureCode.PROTOCOL, False),
        (rewritten("kube-system", name="default"), FailureCode.PROTOCOL, False),
        (the_same_page("/app-a/secrets"), FailureCode.PROTOCOL, False),
    ],
    ids=[
        "connection closed without an answer",
        "redirect",
        "not JSON",
        "no content",
        "429",
        "503",
        "an identity that is none",
        "another namespace's identity",
        "the same page for ever",
    ],
)
def test_a_wrong_answer_ends_the_work_before_any_write(
    world: World, fault: Fault, code: FailureCode, transient: bool
) -> None:
    """What is no proper answer is an error with its code, tried again only where that may help."""
    world.issue("web-tls")
    report = deliver_through(world, fault)
    assert (codes(report), report.transient) == ([code], transient)
    assert world.copy("web-tls") is None


def test_a_list_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of one list together have a limit in bytes, not only each page."""
    world.issue("web-tls", "web-2-tls", "web-3-tls")
    snapshot = world.snapshot()
    world.sync(snapshot=snapshot)
    monkeypatch.setattr(client, "METADATA_PAGE", 1)
    page = len(json.dumps(world.admin().get("/api/v1/namespaces/app-a/secrets?limit=1")))
    monkeypatch.setattr(calls, "LIST_BYTES", page * 3 // 2)
    assert codes(world.sync(snapshot=snapshot)) == [FailureCode.TOO_MUCH]


def test_large_objects_are_read_in_smaller_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that would be too large is asked for again with fewer objects, and nothing is lost."""
    world.issue(*(f"web-{number}-tls" for number in range(9)))
    whole = len(json.dumps(world.ops.get("/api/v1/namespaces/certificates-ops/secrets")))
    monkeypatch.setattr(calls, "PAGE_BYTES", whole // 3)
    start = world.log_position("ops")
    assert len(world.snapshot().certificates) == 9
    assert len(world.requests("ops", start)) > 5


@contextmanager
def port_that(greeting: bytes, pause: float = 0, said: Event | None = None) -> Iterator[str]:
    """A port that says something else than TLS, with a pause after each byte if wanted, and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(1)
                for number, byte in enumerate(greeting):
                    connection.sendall(bytes([byte]))
                    time.sleep(pause)
                    if said and number == LONG:
                        said.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("greeting", "code"),
    [(b"", FailureCode.CONNECTION_LOST), (b"HTTP/1.1 400 Bad Request\r\n\r\n", FailureCode.UNREACHABLE)],
    ids=["cut", "no TLS"],
)
def test_a_broken_handshake_may_pass(world: World, greeting: bytes, code: FailureCode) -> None:
    """A handshake that breaks off is tried again, unlike a certificate that is not trusted."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    with port_that(greeting) as url:
        world.edit_kubeconfig("clusters", "dev", server=url)
        report = world.sync(snapshot=snapshot)
    assert (codes(report), report.transient) == ([code], True)


def test_a_connection_closed_while_idle_is_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs up between two calls costs a handshake; what follows is sent, and sent once."""
    names = [f"web-{number}-tls" for number in range(5)]
    world.issue(*names)
    snapshot, oracle = world.snapshot(), world.oracle()
    proxy = TcpProxy(int(world.sandbox.cluster("dev").url.rpartition(":")[2]))
    lock, send, opened = Lock(), SecretApplier.apply, list[int]()

    def send_after_a_pause(self: SecretApplier, *given: Any) -> Change | None:
        with lock:  # one at a time, so that no call is under way
            opened.append(proxy.connections)
            proxy.hang_up()
            return send(self, *given)

    monkeypatch.setattr(SecretApplier, "apply", send_after_a_pause)
    with tcp_proxy(proxy) as url, world.reached_at(url):
        report = world.sync(snapshot=snapshot)
    assert (codes(report), report.counts) == ([], {Action.CREATE: len(names)})
    assert opened == sorted(set(opened))
    assert oracle.objections() + oracle.misreported({"dev": [f"app-a/{name}" for name in names]}) == []


def test_an_edited_copy_that_vanishes_is_created_again(world: World) -> None:
    """An edited copy that is gone when it is looked into is a missing one."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(COPY, FOREIGN_KEY)

    def vanish(request: Request, forward: Forward) -> Answer:
        if request.method == "GET" and request.path == COPY:
            world.admin().delete(COPY)
        return forward()

    report = deliver_through(world, vanish)
    (row,) = report.changes
    assert (row.action, row.reason, row.applied) == (Action.CREATE, Reason.MISSING_ON_TARGET, True)
    assert report.ok
    assert world.copy("web-tls") is not None


def test_an_edited_copy_that_may_not_be_read_costs_only_itself(world: World) -> None:
    """A copy that can't be looked into is left as it is and is a failure; the others are served."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(COPY, FOREIGN_KEY)
    before = world.versions()
    world.issue("web-2-tls")
    report = deliver_through(world, on("GET", COPY, Answer(403)))
    assert codes(report) == [FailureCode.FORBIDDEN]
    assert [(change.target.name, change.applied) for change in report.changes] == [("web-2-tls", True)]
    assert world.versions().items() >= before.items()


@pytest.mark.parametrize(
    ("answer", "code", "given_up"),
    [
        (Answer(429), FailureCode.THROTTLED, True),
        (LOST, FailureCode.CONNECTION_LOST, True),
        (Answer(500), FailureCode.SERVER_ERROR, False),
        (Answer(409), FailureCode.CONFLICT, False),
    ],
    ids=["throttled", "connection lost", "one object's trouble (500)", "conflict"],
)
def test_a_server_that_keeps_failing_is_left_in_peace(
    world: World, answer: Answer | None, code: FailureCode, given_up: bool
) -> None:
    """After some writes in a row without an answer or throttled, no more are sent; other errors stop none."""
    world.issue(*(f"web-{number}-tls" for number in range(20)))
    snapshot = world.snapshot()
    with world.proxy() as proxy:
        proxy.fault = on("PATCH", "/secrets/", answer)
        report = world.sync(snapshot=snapshot)
        written = {request.path for request in proxy.requests if request.method == "PATCH"}
    assert set(codes(report)) == {code}
    assert len(report.failures) == len(written)
    assert (len(written) < 20) == given_up
    assert [change.applied for change in report.changes] == [False] * 20


def first(times: int, answer: Answer | None, method: str = "") -> Fault:
    """So many requests get another answer and do not reach the server."""
    left = [answer] * times

    def fault(request: Request, forward: Forward) -> Answer | None:
        return left.pop() if method in ("", request.method) and left else forward()

    return fault


def lost_answers(times: int, method: str = "PATCH") -> Fault:
    """The server does what it was asked to, and its answer gets lost; so many times."""
    left = [None] * times

    def fault(request: Request, forward: Forward) -> Answer | None:
        answer = forward()
        return left.pop() if request.method == method and left else answer

    return fault


def test_a_write_whose_answer_was_lost_is_looked_at_again(world: World) -> None:
    """A create and an update that took place are reported as such, and are sent once."""
    (secret,) = world.issue("web-tls")
    for reason in (Reason.MISSING_ON_TARGET, Reason.CERTIFICATE_RENEWED):
        snapshot = world.snapshot()
        with world.proxy() as proxy:
            proxy.fault = lost_answers(1)
            report = world.sync(snapshot=snapshot)
            assert sum(request.method == "PATCH" for request in proxy.requests) == 1
        (row,) = report.changes
        assert (row.reason, row.applied, report.ok) == (reason, True, True)
        secret = world.renew(secret)


def test_a_write_that_never_arrived_is_sent_again(world: World) -> None:
    """A write that was lost on its way is decided on anew, and takes place."""
    world.issue("web-tls")
    with world.proxy() as proxy:
        proxy.fault = first(1, LOST, "PATCH")
        row = world.row("web-tls")
    assert (row.reason, row.applied) == (Reason.MISSING_ON_TARGET, True)
    assert world.copy("web-tls") is not None


def test_a_write_that_never_arrived_is_no_success(world: World) -> None:
    """Where somebody else's Secret came in its place meanwhile, the row says that nothing was written."""
    world.issue("web-tls")
    theirs = world.issuer.secret("web-tls", ["web-tls.example.org"])
    theirs["metadata"] = {"name": "web-tls", "namespace": "app-a"}

    def overtaken(request: Request, forward: Forward) -> Answer | None:
        if request.method != "PATCH":
            return forward()
        world.put(theirs, "dev")
        return LOST

    with world.proxy() as proxy:
        proxy.fault = overtaken
        row = world.row("web-tls")
    assert (row.action, row.applied) == (Action.REFUSE, False)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == theirs["data"]


@pytest.mark.parametrize("asked", ["1", "0", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", None])
def test_a_server_that_asks_for_patience_gets_it(world: World, asked: str | None) -> None:
    """429 once costs a pause and no more, whatever Retry-After says."""
    world.issue("web-tls")
    headers = {} if asked is None else {"Retry-After": asked}
    with world.proxy() as proxy:
        proxy.fault = first(1, Answer(429, headers=headers), "PATCH")
        assert world.row("web-tls").applied


def test_a_credential_that_was_refused_once_is_shown_again(world: World) -> None:
    """401 once, as while a token is rotated, is no failure; 401 twice is, and is not tried a third time."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    for times, expected in ((1, []), (2, [FailureCode.UNAUTHORIZED])):
        with world.proxy() as proxy:
            proxy.fault = first(times, Answer(401))
            assert codes(world.sync(snapshot=snapshot)) == expected


def test_headers_that_drip_end_with_the_deadline(world: World) -> None:
    """Also a server that never gets to the body is cut off when the cluster's time is up."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    with world.proxy() as proxy:
        proxy.drip_headers = True
        assert codes(world.sync(snapshot=snapshot, seconds=1.5)) == [FailureCode.DEADLINE]
        assert not proxy.dripped.is_set()


def test_a_handshake_that_drips_ends_with_the_deadline(world: World) -> None:
    """A port that sends a byte of a handshake now and then is cut off when the cluster's time is up."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    said = Event()
    with port_that(b"\x16\x03\x03\x3f\xff" + b"\x02" * 200, 0.1, said) as url:
        world.edit_kubeconfig("clusters", "dev", server=url)
        assert codes(world.sync(snapshot=snapshot, seconds=1.5)) == [FailureCode.DEADLINE]
        assert not said.is_set()
