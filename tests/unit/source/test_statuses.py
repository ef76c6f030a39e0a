"""Certificates that are got by their names."""

import threading
from collections.abc import Callable
from typing import Any

from tasks.domain.models import SecretRef
from tasks.kube.client import ClusterClient
from tasks.source.statuses import get_statuses
from tests.unit.source.test_changed import SOURCE, certificate


class Ops(ClusterClient):
    """Calls `meet` in the thread of each request."""

    def __init__(self, meet: Callable[[], object]) -> None:
        self._meet = meet

    def certificate(self, ref: SecretRef) -> dict[str, Any]:
        self._meet()
        return certificate(ref.name, f"{ref.name}-tls")


def test_several_certificates_are_got_side_by_side() -> None:
    """Each request waits until all are there."""
    barrier = threading.Barrier(3)
    found = get_statuses(Ops(lambda: barrier.wait(60)), SOURCE, ["a", "b", "c"])
    assert sorted(found.by_secret) == ["a-tls", "b-tls", "c-tls"]


def test_one_certificate_takes_no_thread() -> None:
    """Most Secrets have one, and the watcher gets it for each renewal."""
    threads = list[int]()
    found = get_statuses(Ops(lambda: threads.append(threading.get_ident())), SOURCE, ["a"])
    assert list(found.by_secret) == ["a-tls"]
    assert threads == [threading.get_ident()]
