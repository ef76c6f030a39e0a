"""The limits of a run: counted before any write, with a failure above them."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import limits
from tasks.config.limits import count_copies, refuse_too_many, required_bytes
from tasks.config.reload import ReloadedConfig
from tasks.config.schema import Cluster, Source, SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import ClusterReport, Failure, RunReport, SourceSnapshot
from tasks.domain.patterns import PatternIndex
from tasks.inventory import collect
from tasks.report.verdict import run_verdict
from tasks.watch.reconciler import Reconciler
from tasks.watch.renewal import Renewal
from tasks.watch.source_watch import RESYNC
from tests.support.factories import (
    NOW,
    SOURCE_NAMESPACE,
    certificate,
    cluster,
    law,
    rejection,
    route,
    snapshot,
)

SOURCE = Source.model_validate({"namespace": SOURCE_NAMESPACE})
NAMES = ("a-tls", "b-tls", "web-1", "web-2", "x")
OPS = snapshot(*(certificate(name) for name in NAMES[:3]), *(rejection(name) for name in NAMES[3:]))
EVERYWHERE = route(("*-tls", "web-*", "not-there"), ("one", "two", "three"))


def clusters(number: int, *routes: dict[str, Any]) -> list[Cluster]:
    return [cluster(*routes, name=f"c-{n}") for n in range(number)]


@law
@given(
    number=st.integers(0, 3),
    patterns=st.lists(
        st.sampled_from(["*", "*-tls", "web-*", "a-tls", "not-there"]), min_size=1, unique=True
    ),
    namespaces=st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, unique=True),
)
def test_as_many_copies_are_counted_as_are_wanted(
    number: int, patterns: list[str], namespaces: list[str]
) -> None:
    """The number per pattern is the number of copies that the routes define, over all clusters."""
    names = PatternIndex(NAMES)
    routed = clusters(number, *(route((pattern,), namespaces) for pattern in patterns))
    wanted = sum(len(one.routed_copies(names)) for one in routed)
    assert count_copies(OPS, routed) == wanted
    for name in ("a-tls", "web-2", "not-there"):
        among = PatternIndex({*NAMES, name})
        only = sum(want.certificate == name for one in routed for want in one.routed_copies(among))
        assert count_copies(OPS, routed, name) == only


def test_a_run_needs_as_much_memory_as_is_allowed_and_no_more() -> None:
    """At the limit the snapshot is unchanged; above it, the failure says what is needed, and what to do."""
    many = clusters(4, EVERYWHERE)  # two by each glob, and one that is not there, to three namespaces
    assert count_copies(OPS, many) == 60
    needed = required_bytes(len(OPS.entries), 4, 60)
    assert refuse_too_many(OPS, SOURCE, many, limit=needed) is OPS
    assert refuse_too_many(OPS, SOURCE, many, limit=None) is OPS
    assert refuse_too_many(OPS, SOURCE, many[:3], limit=needed - 1) is OPS
    assert refuse_too_many(OPS, SOURCE, many, "a-tls", limit=needed - 1) is OPS
    beyond = refuse_too_many(OPS, SOURCE, many, limit=needed - 1)
    assert beyond == SourceSnapshot(failure=beyond.failure)
    told = run_verdict(RunReport(snapshot=beyond, now=NOW))
    assert (told.ok, told.name) == (False, "TooMany")
    assert told.message == (
        "nothing was written: TooMany: look at 60 copies on 4 clusters: it exceeds the limits of one run "
        "(that takes about 115 MiB of memory, and 115 MiB are allowed). "
        f"To do: {FailureCode.TOO_MANY.remedy}"
    )


@pytest.mark.parametrize(
    ("certificates", "on", "copies", "fits"),
    [
        (100, 3, 300, 128),
        (1_000, 50, 50_000, 160),
        (10_000, 1_000, 100_000, 256),
    ],
)
def test_what_the_shipped_pod_can_do(certificates: int, on: int, copies: int, fits: int) -> None:
    """A thousand clusters with a hundred thousand copies fit into its 256 MiB; twice as many do not."""
    assert required_bytes(certificates, on, copies) <= fits * limits.MIB
    assert required_bytes(10_000, 1_000, 200_000) > 256 * limits.MIB


def test_a_list_of_ops_has_a_number_of_its_own() -> None:
    """How much is listed is not known before: the limit of the list is a number."""
    assert limits.too_many_secrets(SOURCE).detail == "more than 10,000 TLS Secrets"


def test_what_could_not_be_read_stays_what_it_is() -> None:
    """If OPS can't be read, the failure is that, not a limit."""
    unread = SourceSnapshot(failure=Failure(code=FailureCode.UNREACHABLE, cluster="OPS", what="list secrets"))
    assert refuse_too_many(unread, SOURCE, clusters(1), limit=1) is unread


CONFIG = SyncConfig(owner="ops", source=SOURCE, clusters=tuple(clusters(4, EVERYWHERE)))


def test_the_inventory_command_refuses_what_a_run_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inventory has the same limit: it reads no cluster and says how to narrow the request."""
    monkeypatch.setattr(collect, "memory_limit", lambda: 100 * limits.MIB)
    monkeypatch.setattr(collect, "contexts", tuple)
    monkeypatch.setattr(collect, "_read_ops", lambda _: OPS)
    with pytest.raises(ConfigError, match=r"look at 60 copies.*100 MiB are allowed.*ask for one cluster"):
        collect.collect_inventory(CONFIG)


@pytest.mark.parametrize(("most", "told"), [(200, 4), (100, 0)])
def test_the_watcher_serves_no_cluster_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch, most: int, told: int
) -> None:
    """The watcher tries again later and reports the reason."""
    served: list[str] = []
    monkeypatch.setattr("tasks.watch.reconciler.memory_limit", lambda: most * limits.MIB)
    monkeypatch.setattr(ReloadedConfig, "load", lambda _: CONFIG)
    monkeypatch.setattr("tasks.watch.reconciler.client_of_source", lambda *_: nullcontext())
    monkeypatch.setattr("tasks.watch.reconciler.list_source", lambda *_, **__: OPS)
    monkeypatch.setattr(Renewal, "look", _noting(served))
    report = Reconciler().reconcile(RESYNC)
    assert report is not None
    assert (len(served), report.snapshot.failure is None) == (told, bool(told))


def _noting(served: list[str]) -> Callable[[Renewal], ClusterReport]:
    def look(renewal: Renewal) -> ClusterReport:
        served.append(renewal.spec.cluster.name)
        return ClusterReport(cluster=renewal.spec.cluster.name)

    return look
