"""Faults that a real API server can't be brought to show, made by a proxy before a real one."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from tasks import cluster
from tasks.models import Action, ClusterReport
from tasks.reasons import Code, Reason
from tests.fault_proxy import LOST, Answer, Fault, Forward, Request
from tests.world import World, codes

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
        return world.deliver(inventory=world.inventory())


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
        assert {request.method for request in proxy.requests} == {"GET", "PATCH"}
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]


def test_a_dripping_body_ends_with_the_deadline(world: World) -> None:
    """A server that sends a byte now and then is cut off when the cluster's time is up."""
    world.issue("web-tls")
    inventory = world.inventory()
    dripping = Answer(200, b"{" + b" " * 300, seconds_per_byte=0.1)
    with world.proxy() as proxy:
        proxy.fault = on("GET", "/app-a/secrets", dripping)
        report = world.deliver(inventory=inventory, seconds=1.5)
    assert codes(report) == [Code.DEADLINE]


@pytest.mark.parametrize(
    ("fault", "code", "transient"),
    [
        (on("GET", "kube-system", LOST), Code.UNREACHABLE, True),
        (on("GET", "kube-system", Answer(302, headers={"Location": COPY})), Code.PROTOCOL, False),
        (on("GET", "kube-system", Answer(200, b"<html>")), Code.PROTOCOL, False),
        (on("GET", "kube-system", Answer(204, b"")), Code.PROTOCOL, False),
        (on("GET", "kube-system", Answer(429)), Code.THROTTLED, True),
        (on("GET", "kube-system", Answer(503)), Code.SERVER_ERROR, True),
        (rewritten("kube-system", uid="../../secrets"), Code.PROTOCOL, False),
        (rewritten("kube-system", name="default"), Code.PROTOCOL, False),
        (the_same_page("/app-a/secrets"), Code.PROTOCOL, False),
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
    world: World, fault: Fault, code: Code, transient: bool
) -> None:
    """What is no proper answer is an error with its code, tried again only where that may help."""
    world.issue("web-tls")
    report = deliver_through(world, fault)
    assert (codes(report), report.transient) == ([code], transient)
    assert world.copy("web-tls") is None


def test_a_list_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of one list together have a limit in bytes, not only each page."""
    world.issue("web-tls", "web-2-tls", "web-3-tls")
    inventory = world.inventory()
    world.deliver(inventory=inventory)
    monkeypatch.setattr(cluster, "METADATA_PAGE", 1)
    page = len(json.dumps(world.admin().get("/api/v1/namespaces/app-a/secrets?limit=1")))
    monkeypatch.setattr(cluster, "LIST_BYTES", page * 3 // 2)
    assert codes(world.deliver(inventory=inventory)) == [Code.PROTOCOL]


@contextmanager
def port_that(greeting: bytes) -> Iterator[str]:
    """A port that says something else than TLS, and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1)
                connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["cut", "no TLS"])
def test_a_broken_handshake_may_pass(world: World, greeting: bytes) -> None:
    """A handshake that breaks off is tried again, unlike a certificate that is not trusted."""
    world.issue("web-tls")
    inventory = world.inventory()
    with port_that(greeting) as url:
        world.edit_kubeconfig("clusters", "dev", server=url)
        report = world.deliver(inventory=inventory)
    assert (codes(report), report.transient) == ([Code.UNREACHABLE], True)


def test_an_edited_copy_that_vanishes_is_created_again(world: World) -> None:
    """An edited copy that is gone when it is looked into is a missing one."""
    world.issue("web-tls")
    world.deliver()
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
    world.deliver()
    world.admin().patch(COPY, FOREIGN_KEY)
    before = world.versions()
    world.issue("web-2-tls")
    report = deliver_through(world, on("GET", COPY, Answer(403)))
    assert codes(report) == [Code.FORBIDDEN]
    assert [(change.target.name, change.applied) for change in report.changes] == [("web-2-tls", True)]
    assert world.versions().items() >= before.items()


@pytest.mark.parametrize(
    ("answer", "given_up"),
    [(Answer(429), True), (LOST, True), (Answer(500), False), (Answer(409), False)],
    ids=["throttled", "connection lost", "one object's trouble (500)", "conflict"],
)
def test_a_server_that_keeps_failing_is_left_in_peace(
    world: World, answer: Answer | None, given_up: bool
) -> None:
    """After some writes in a row without an answer or throttled, no more are sent; other errors stop none."""
    world.issue(*(f"web-{number}-tls" for number in range(40)))
    inventory = world.inventory()
    with world.proxy() as proxy:
        proxy.fault = on("PATCH", "/secrets/", answer)
        report = world.deliver(inventory=inventory)
        writes = [request for request in proxy.requests if request.method == "PATCH"]
    assert (len(writes) < 40) == given_up
    assert len(report.failures) == len(writes)
    assert [change.applied for change in report.changes] == [False] * 40
