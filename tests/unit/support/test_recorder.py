"""The recorder of versions, which the tests with cert-manager judge copies by."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.world.cert_manager import Issuer
from tests.e2e.cert_manager.recorder import recorder
from tests.support.waiting import until

RENEWAL = 7
"""The resourceVersion of what a test writes after the recorder has listed."""


class Cluster:
    """A cluster whose list is current at once, and whose watch delivers when the test says."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.delayed: list[dict[str, Any]] = []
        self.when_listed: Callable[[], object] = list
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def get(self, path: str) -> dict[str, Any]:
        return {"items": self.items if "/secrets" in path else [], "metadata": {"resourceVersion": "1"}}

    def list(self, path: str) -> list[dict[str, Any]]:
        if "/secrets" in path:
            self.when_listed()
        return list(self.get(path)["items"])

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        while "/secrets" in path:
            yield self._events.get()
        threading.Event().wait()

    def write(self, secret: dict[str, Any]) -> None:
        self.items = [secret]
        self.delayed.append({"type": "MODIFIED", "object": secret})

    def deliver(self) -> None:
        while self.delayed:
            self._events.put(self.delayed.pop(0))


def version(issuer: Issuer, number: int) -> dict[str, Any]:
    secret = issuer.secret("web", ["web.example.org"])
    secret["metadata"] |= {"resourceVersion": str(number)}
    return secret


def test_a_renewal_while_the_copies_are_judged_is_no_objection() -> None:
    """A copy whose event comes before that of OPS is judged only once OPS's versions are recorded."""
    issuer = Issuer()
    first, renewed = version(issuer, 1), version(issuer, RENEWAL)
    ops, target = Cluster(first), Cluster(first)
    with recorder(cast(Admin, ops), {"prd": cast(Admin, target)}, "app-a") as seen:

        def renew() -> None:
            if target.items == [first]:
                ops.write(renewed)
                target.write(renewed)
                target.deliver()
                until("the copy's event", lambda: len(seen.of("prd")) == 2)
                ops.when_listed = ops.deliver

        until("what was there before", lambda: seen.of("prd") and seen.of("ops"))
        target.when_listed = renew
        assert seen.objections() == []
        assert [one.object["metadata"]["resourceVersion"] for one in seen.of("prd")] == ["1", str(RENEWAL)]


def test_a_copy_of_another_origin_is_an_objection() -> None:
    """Data that OPS did not have under the name is told, with the cluster and the name."""
    issuer = Issuer()
    ops, target = Cluster(version(issuer, 1)), Cluster(version(issuer, 1))
    with recorder(cast(Admin, ops), {"prd": cast(Admin, target)}, "app-a") as seen:
        assert seen.objections() == ["prd web has data that OPS never had under this name"]
