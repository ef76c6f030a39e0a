"""A real API server that gives tls-sync few seats: API Priority and Fairness; and what clients hear of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, NamedTuple
from unittest.mock import patch

from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.rest import Rest
from tasks.kube.connections import Connections, OpenResponse

REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
NAME, REST = "tls-sync-jail", "tls-sync-jail-rest"
API = "flowcontrol.apiserver.k8s.io/v1"
LEVELS, SCHEMAS = (f"/apis/{API}/{kind}" for kind in ("prioritylevelconfigurations", "flowschemas"))
TOTAL = 600
"""Seats of a server, by default. A thousand shares for each leave one seat for one share."""


def _level(name: str, shares: int, response: dict[str, Any]) -> dict[str, Any]:
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": response,
    }
    return {
        "apiVersion": API,
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": limited},
    }


def _schema(name: str, precedence: int, subject: dict[str, Any]) -> dict[str, Any]:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    rule = {"subjects": [subject], "resourceRules": [everything | {"clusterScope": True}]}
    spec = {
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": precedence,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule],
    }
    return {"apiVersion": API, "kind": "FlowSchema", "metadata": {"name": name}, "spec": spec}


QUEUES = {"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 2}}
REJECT = {"type": "Reject"}


@contextmanager
def few_seats(admin: Admin, user: str, response: dict[str, Any] = REJECT) -> Iterator[None]:
    """Meanwhile one seat for this user, with no queue or a small one; everybody else has all others."""
    ours = {"kind": "User", "user": {"name": user}}
    others = {"kind": "Group", "group": {"name": "system:authenticated"}}
    for name, shares, precedence, subject in ((NAME, 1, 100, ours), (REST, 1000 * TOTAL, 200, others)):
        how = response if name == NAME else REJECT
        admin.apply(f"{LEVELS}/{name}", _level(name, shares, how), "tests", force=True)
        admin.apply(f"{SCHEMAS}/{name}", _schema(name, precedence, subject), "tests", force=True)
    try:
        _until_in_force(admin)
        yield
    finally:
        for name in (NAME, REST):
            admin.delete(f"{SCHEMAS}/{name}")
            admin.delete(f"{LEVELS}/{name}")


def _until_in_force(admin: Admin) -> None:
    """The server has heard of it once it has put its mark on the schema's status; then it takes a moment."""
    for _ in range(100):
        conditions = admin.get(f"{SCHEMAS}/{NAME}").get("status", {}).get("conditions", [])
        if any(one["type"] == "Dangling" and one["status"] == "False" for one in conditions):
            break
        time.sleep(0.1)
    time.sleep(0.5)


class Heard(NamedTuple):
    begun: float
    ended: float
    status: int
    asked: int
    """Seconds of Retry-After."""


@dataclass
class Log:
    """What clients asked, and heard."""

    heard: list[Heard] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def refusals(self) -> list[Heard]:
        return [one for one in self.heard if one.status == 429]

    def too_early(self, slack: float = 0.05) -> list[Heard]:
        """Requests that began after a 429 had come, and before the time that it asked for was over."""
        return [
            one
            for one in self.heard
            if any(told.ended + slack < one.begun < told.ended + told.asked - slack for told in self.refusals)
        ]


@contextmanager
def listening(admin: Admin) -> Iterator[Log]:
    """To what this process's clients, but for the harness's own, ask of a server meanwhile."""
    port = admin.address[1]
    log = Log()
    send: Callable[..., OpenResponse] = Connections.request

    def request(connections: Connections, *given: Any, **options: Any) -> OpenResponse:
        begun = time.monotonic()
        response = send(connections, *given, **options)
        if connections._pool.port == port:
            asked = int(response.headers.get("Retry-After") or 0)
            with log.lock:
                log.heard.append(Heard(begun, time.monotonic(), response.status, asked))
        return response

    with patch.object(Connections, "request", request):
        yield log


@contextmanager
def bystander(server: ApiServer) -> Iterator[list[int]]:
    """Somebody else who asks that server something all the time; collects the statuses of the answers."""
    over, answers = threading.Event(), list[int]()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bystander"}}
    server.admin.ensure(account, "tls-sync")
    token = server.admin.token("tls-sync", "bystander", 600)
    other = Rest(*server.admin.address, server.ca_pem, token)

    def ask() -> None:
        while not over.wait(0.02):
            try:
                other.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", REVIEW)
                answers.append(HTTPStatus.CREATED)
            except AdminError as error:
                answers.append(error.status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()
