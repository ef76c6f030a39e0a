"""Ways in which one target fails: what is injected, and what the report must say.

The table of test_scenarios.py; the numbers are those of docs/failures.md.
"""

import gzip
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from tests.support.clusters import World
from tests.support.fault_proxy import LOST, Answer, Fault, Forward, Request
from tests.support.tcp_proxy import TcpProxy, black_hole, tcp_proxy

Inject = Callable[[World], AbstractContextManager[None]]

NAMES = tuple(f"web-{number}-tls" for number in range(6))


class Scenario(NamedTuple):
    number: int
    name: str
    inject: Inject
    expected: frozenset[str]
    """Codes of failures and reasons of failed rows on dev; none where the fault is overcome."""
    leaves_doubt: bool = False
    """A write can have taken place, and nobody is there to be asked about it."""


def proxied(fault: Fault) -> Inject:
    @contextmanager
    def inject(world: World) -> Iterator[None]:
        with world.proxy() as proxy:
            proxy.fault = fault
            yield

    return inject


def answering(answer: Answer | None, method: str = "", path: str = "", times: int = 10**9) -> Inject:
    """Give this answer, so many times, to requests of a method whose path contains something."""
    left = [times]

    def fault(request: Request, forward: Forward) -> Answer | None:
        if method in ("", request.method) and path in request.path and left[0] > 0:
            left[0] -= 1
            return answer
        return forward()

    return proxied(fault)


def changing(path: str, **metadata: object) -> Inject:
    """The real answer with other metadata."""

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if path not in request.path or answer.status >= 400:
            return answer
        content = json.loads(answer.body)
        content["metadata"] |= metadata
        return Answer(answer.status, json.dumps(content).encode(), answer.headers)

    return proxied(fault)


def through(**behaviour: float) -> Inject:
    """A TCP proxy with this behaviour."""

    @contextmanager
    def inject(world: World) -> Iterator[None]:
        port = int(world.sandbox.cluster("dev").url.rpartition(":")[2])
        with tcp_proxy(TcpProxy(port, **behaviour)) as url, world.reached_at(url):  # type: ignore[arg-type]
            yield

    return inject


def reached_at(address: str) -> Inject:
    return lambda world: world.reached_at(address)


@contextmanager
def in_a_black_hole(world: World) -> Iterator[None]:
    with black_hole() as url, world.reached_at(url):
        yield


@contextmanager
def down(world: World) -> Iterator[None]:
    world.sandbox.cluster("dev").stop()
    try:
        yield
    finally:
        world.sandbox.cluster("dev").start()


@contextmanager
def at_the_third_write(world: World, do: Callable[[], None]) -> Iterator[None]:
    """Meanwhile this happens to DEV just before its API server gets the third write of a run."""
    writes: list[Request] = []

    def fault(request: Request, forward: Forward) -> Answer | None:
        if request.method == "PATCH":
            writes.append(request)
            if len(writes) == 3:
                do()
        try:
            return forward()
        except OSError:
            return LOST

    with world.proxy() as proxy:
        proxy.fault = fault
        yield


@contextmanager
def killed_in_mid_write(world: World) -> Iterator[None]:
    """The API server dies with the third write, and is back soon after the run."""
    server = world.sandbox.cluster("dev")
    with at_the_third_write(world, lambda: server.stop(grace=0)):
        yield
    server.start()


@contextmanager
def frozen(world: World) -> Iterator[None]:
    """The API server stops in mid-run, as under a node that swaps, and goes on two seconds later."""
    pid = world.sandbox.cluster("dev").pid
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(2.0, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextmanager
def without_the_right_to_list(world: World) -> Iterator[None]:
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"
    rules = world.admin().get(path)["rules"]
    world.admin().patch(path, {"rules": [rules[0] | {"verbs": ["get", "patch", "create"]}]})
    time.sleep(0.5)
    try:
        yield
    finally:
        world.admin().patch(path, {"rules": rules})
        time.sleep(0.5)


@contextmanager
def over_quota(world: World) -> Iterator[None]:
    """No controller counts here, so the quota's status is written by hand."""
    base, hard = "/api/v1/namespaces/app-a/resourcequotas", {"count/secrets": "0"}
    manifest = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": hard},
    }
    world.admin().post(base, manifest)
    world.admin().patch(f"{base}/none/status", {"status": {"hard": hard, "used": {"count/secrets": "0"}}})
    time.sleep(0.5)
    try:
        yield
    finally:
        world.admin().delete(f"{base}/none")
        time.sleep(0.5)


@contextmanager
def denied_by_a_policy(world: World) -> Iterator[None]:
    """A policy of the target's own team denies one name."""
    group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": f"object.metadata.name != '{NAMES[0]}'"}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "team"}}
    admin = world.admin()
    admin.post(f"{group}ies", kind | {"kind": "ValidatingAdmissionPolicy", "spec": spec})
    binding = {"policyName": "team", "validationActions": ["Deny"]}
    admin.post(f"{group}ybindings", kind | {"kind": "ValidatingAdmissionPolicyBinding", "spec": binding})
    time.sleep(3)
    try:
        yield
    finally:
        admin.delete(f"{group}ybindings/team")
        admin.delete(f"{group}ies/team")
        time.sleep(3)


@contextmanager
def webhook_that_is_down(world: World) -> Iterator[None]:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    hook = {
        "name": "down.example.org",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "app-a"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    world.admin().post(
        path,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "down"},
            "webhooks": [hook],
        },
    )
    time.sleep(2)
    try:
        yield
    finally:
        world.admin().delete(f"{path}/down")
        time.sleep(2)


@contextmanager
def wrong_name(world: World) -> Iterator[None]:
    """The server's certificate is not for the name under which it is reached."""
    world.edit_kubeconfig("clusters", "dev", **{"tls-server-name": "other.example.org"})
    try:
        yield
    finally:
        world.edit_kubeconfig("clusters", "dev", **{"tls-server-name": "127.0.0.1"})


def gzipped(content: bytes) -> Answer:
    return Answer(200, content, {"Content-Encoding": "gzip", "Content-Type": "application/json"})


ELSEWHERE = "https://127.0.0.1:9/api/v1/namespaces/kube-system"
BOMB = gzip.compress(b" " * (64 * 1024 * 1024))


def expect(*codes: str) -> frozenset[str]:
    return frozenset(codes)


SCENARIOS = (
    Scenario(1, "connection refused", reached_at("https://127.0.0.1:1"), expect("Unreachable")),
    Scenario(1, "API server stopped", down, expect("Unreachable")),
    Scenario(2, "black hole", in_a_black_hole, expect("Unreachable")),
    Scenario(3, "name unknown", reached_at("https://nowhere.invalid"), expect("Unreachable")),
    Scenario(4, "accepts and never answers", through(swallow=True), expect("Timeout")),
    Scenario(5, "slow, 50 ms before each piece", through(delay=0.05), expect()),
    Scenario(
        6,
        "endless answer",
        answering(Answer(200, b" " * 5_000_000), path="kube-system"),
        expect("AnswerTooLarge"),
    ),
    *(
        Scenario(7, f"reset after {sent} bytes sent", through(cut_up_after=sent), expect(code))
        for sent, code in ((1, "ConnectionLost"), (400, "ConnectionLost"), (1200, "ConnectionLost"))
    ),
    Scenario(8, "every answer to a write lost", answering(LOST, "PATCH"), expect("ConnectionLost")),
    *(
        Scenario(10, f"cut after {got} bytes received", through(cut_down_after=got), expect(code))
        for got, code in ((1, "ConnectionLost"), (700, "ConnectionLost"), (3000, "ConnectionLost"))
    ),
    Scenario(11, "gzip bomb", answering(gzipped(BOMB), path="kube-system"), expect("AnswerTooLarge")),
    Scenario(
        11,
        "broken gzip",
        answering(gzipped(b"\x1f\x8b\x08 no"), path="kube-system"),
        expect("ConnectionLost"),
    ),
    *(
        Scenario(
            12,
            f"redirect {status}",
            answering(Answer(status, headers={"Location": ELSEWHERE})),
            expect("ProtocolError"),
        )
        for status in (301, 302, 307, 308)
    ),
    Scenario(13, "200 with HTML", answering(Answer(200, b"<html>")), expect("ProtocolError")),
    Scenario(13, "200 with nothing", answering(Answer(200, b"")), expect("ProtocolError")),
    Scenario(13, "200 with {}", answering(Answer(200)), expect("ProtocolError")),
    Scenario(13, "writes answered for another", changing("fieldManager", name="x"), expect()),
    Scenario(14, "certificate for another name", wrong_name, expect("TLSFailed")),
    Scenario(16, "a proxy asks for a password", answering(Answer(407)), expect("Invalid")),
    Scenario(17, "401 all the time", answering(Answer(401)), expect("Unauthorized")),
    Scenario(17, "401 once", answering(Answer(401), times=1), expect()),
    Scenario(19, "403 on the list", without_the_right_to_list, expect("Forbidden")),
    Scenario(
        20,
        "404 for a path that should be there",
        answering(Answer(404), path="/app-a/"),
        expect("APIMissing"),
    ),
    Scenario(21, "409 once", answering(Answer(409), "PATCH", times=1), expect()),
    Scenario(21, "409 for ever", answering(Answer(409), "PATCH"), expect("Conflict")),
    Scenario(24, "410 in a list", answering(Answer(410), "GET", "/app-a/secrets?"), expect("ListExpired")),
    Scenario(25, "413", answering(Answer(413), "PATCH"), expect("Invalid")),
    Scenario(25, "422", answering(Answer(422), "PATCH"), expect("Invalid")),
    Scenario(27, "429 once", answering(Answer(429, headers={"Retry-After": "1"}), times=1), expect()),
    Scenario(27, "429 for ever", answering(Answer(429), "GET"), expect("Throttled")),
    *(
        Scenario(28, f"{status} once, at a write", answering(Answer(status), "PATCH", times=1), expect())
        for status in (500, 502, 503, 504)
    ),
    Scenario(28, "500 for ever, at writes", answering(Answer(500), "PATCH"), expect("ServerError")),
    Scenario(28, "503 for ever", answering(Answer(503)), expect("ServerError")),
    Scenario(29, "a policy denies one name", denied_by_a_policy, expect("Invalid")),
    Scenario(29, "a webhook is down", webhook_that_is_down, expect("ServerError")),
    Scenario(30, "quota exceeded", over_quota, expect("Forbidden")),
    Scenario(
        33, "API server killed in mid-write", killed_in_mid_write, expect("ConnectionLost"), leaves_doubt=True
    ),
    Scenario(34, "API server frozen for two seconds", frozen, expect()),
)
