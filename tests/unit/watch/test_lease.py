"""Leader election with one Lease: who is the leader, and when another replica takes over."""

from types import SimpleNamespace
from typing import Any, Self

import pytest

from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.watch import lease as lease_module
from tasks.watch.lease import Lease
from tasks.watch.timings import DEFAULT
from tests.support.factories import failure


class Server:
    """An API server with one Lease, its client and the clock of all replicas."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.now = 1000.0
        self.overtaken = False
        """Another client writes between our read and our write."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def lease(self, _namespace: str, _name: str) -> dict[str, Any] | None:
        return self.stored

    def write_lease(self, _namespace: str, _name: str, spec: dict[str, Any], version: str) -> dict[str, Any]:
        current = self.stored["metadata"]["resourceVersion"] if self.stored else ""
        if version != current or self.overtaken:
            raise ClusterError(failure(FailureCode.CONFLICT, "OPS"))
        self.stored = {"metadata": {"resourceVersion": f"{int(current or 0) + 1}"}, "spec": spec}
        return self.stored


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(lease_module, "time", SimpleNamespace(monotonic=lambda: server.now))
    monkeypatch.setattr(lease_module, "connect", lambda *_: None)
    monkeypatch.setattr(lease_module, "ClusterClient", lambda *_: server)
    return server


def replica(identity: str) -> Lease:
    return Lease("tls-sync", "tls-sync-watch", identity)


def test_the_first_replica_is_the_leader_and_stays_it(server: Server) -> None:
    """While the leader renews its Lease, no other replica can take it."""
    one, two = replica("one"), replica("two")
    for _ in range(10):
        assert (one.try_acquire_or_renew(), two.try_acquire_or_renew()) == (True, False)
        server.now += DEFAULT.lease_interval
        assert (one.is_leader, two.is_leader) == (True, False)
    assert server.stored is not None
    assert server.stored["spec"]["leaseTransitions"] == 0


def test_a_lease_that_stays_unchanged_is_taken_over(server: Server) -> None:
    """A standby takes the Lease once it has seen no renewal for the Lease's duration."""
    one, two = replica("one"), replica("two")
    one.try_acquire_or_renew()
    assert not two.try_acquire_or_renew()
    server.now += DEFAULT.lease_duration + 0.1
    assert two.try_acquire_or_renew()
    assert server.stored is not None
    assert server.stored["spec"]["holderIdentity"] == "two"
    assert server.stored["spec"]["leaseTransitions"] == 1
    assert not one.try_acquire_or_renew()


def test_a_leader_that_cannot_renew_stops_before_another_may_take_over(server: Server) -> None:
    """The Lease counts as lost for its holder before its duration is over."""
    one = replica("one")
    one.try_acquire_or_renew()
    assert one.is_leader
    server.now += DEFAULT.lease_duration - 0.1
    assert not one.is_leader


def test_a_lease_that_another_replica_wrote_first_is_not_ours(server: Server) -> None:
    """A conflict on write means that this replica is not the leader; it is not an error."""
    server.overtaken = True
    one = replica("one")
    assert not one.try_acquire_or_renew()
    assert not one.is_leader


def test_a_released_lease_is_taken_at_once(server: Server) -> None:
    """After a release nobody has to wait, and who released it is not the leader."""
    one, two = replica("one"), replica("two")
    one.try_acquire_or_renew()
    one.release()
    assert not one.is_leader
    assert two.try_acquire_or_renew()


def test_a_lease_of_another_replica_is_not_released(server: Server) -> None:
    """A former leader that ends leaves the new leader's Lease alone."""
    one, two = replica("one"), replica("two")
    one.try_acquire_or_renew()
    two.release()
    assert server.stored is not None
    assert server.stored["spec"]["holderIdentity"] == "one"
