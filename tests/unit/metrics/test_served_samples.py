"""The samples of what addresses present: of runs that looked, and of inventories."""

from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.models import ClusterReport, Served, ServedMatch
from tasks.inventory.metrics import served_of
from tasks.inventory.model import InventoryReport, Status
from tasks.metrics import definitions
from tasks.metrics.definitions import Kind
from tasks.metrics.samples import Part, Parts, Samples, merge, served_samples
from tasks.metrics.served_samples import served_by_job
from tests.support.factories import NOW, certificate, cluster_report, unpinned_clusters
from tests.support.inventory_example import copy_state
from tests.support.metrics_example import DOWN, KEPT, report
from tests.unit.metrics.test_samples import values
from tests.unit.served.test_rollout import served_copy

ADDRESS = "web.example.org:443"
END = NOW + timedelta(days=3)


def served(match: ServedMatch, address: str = ADDRESS) -> Served:
    ends = END if match in (ServedMatch.SAME, ServedMatch.OLDER, ServedMatch.OTHER) else None
    return Served(address=address, match=match, not_after=ends)


def looked(cluster: str, *found: ServedMatch) -> ClusterReport:
    copies = [
        served_copy(cluster).model_copy(
            update={"served": served(one, f"a{number}"), "certificate": "web-tls"}
        )
        for number, one in enumerate(found)
    ]
    return cluster_report(cluster, KEPT, served=tuple(copies))


def matches(parts: Parts) -> list[tuple[str, ...]]:
    return sorted(labels[1:] for labels in values(parts, definitions.SERVED))


def test_a_run_that_looked_tells_what_each_address_presents() -> None:
    """By cluster, certificate and address: how it compares, until when it is valid, and when it was asked."""
    parts = merge({}, report(looked("dev", ServedMatch.OLDER, ServedMatch.NONE)))
    assert matches(parts) == [("dev", "web-tls", "a0", "older"), ("dev", "web-tls", "a1", "none")]
    assert values(parts, definitions.SERVED_END) == {("ops", "dev", "web-tls", "a0"): END.timestamp()}
    assert values(parts, definitions.SERVED_CHECK) == {("ops", "dev"): NOW.timestamp()}
    assert values(parts, definitions.SERVED_DROPPED) == {("ops", "dev"): 0}


@pytest.mark.parametrize(
    "second",
    [
        report(cluster_report("dev", KEPT, served=(served_copy("dev"),)), now=NOW + timedelta(hours=1)),
        report(cluster_report("dev", KEPT), now=NOW + timedelta(hours=1)),
        report(cluster_report("dev", failures=(DOWN,)), now=NOW + timedelta(hours=1)),
        report(looked("dev", ServedMatch.SAME), certificate="web-tls"),
    ],
    ids=["nobody was asked", "no address", "it is down", "a run for one certificate"],
)
def test_what_was_found_stays_until_the_next_look(second: Any) -> None:
    """A run that asked no address of the cluster knows nothing better."""
    first = merge({}, report(looked("dev", ServedMatch.OLDER)))
    assert matches(merge(first, second)) == matches(first)


def test_the_next_look_replaces_all_of_the_cluster() -> None:
    """An address that is as stored again, and one that is gone from the route."""
    first = merge(
        {}, report(looked("dev", ServedMatch.OLDER, ServedMatch.OLDER), looked("rct", ServedMatch.NONE))
    )
    second = merge(first, report(looked("dev", ServedMatch.SAME)))
    assert matches(second) == [("dev", "web-tls", "a0", "same"), ("rct", "web-tls", "a0", "none")]


@pytest.mark.parametrize(("days", "stays"), [(6.9, True), (7.1, False)])
def test_what_nobody_asks_any_more_is_forgotten(days: float, stays: bool) -> None:
    """A week after the last look: `served` or `waves.verify` is gone from the configuration."""
    first = merge({}, report(looked("dev", ServedMatch.OLDER)))
    later = merge(first, report(cluster_report("dev", KEPT), now=NOW + timedelta(days=days)))
    assert bool(matches(later)) is stays
    assert (Part(Kind.SERVED, "dev") in later) is stays


def test_of_too_many_addresses_the_worst_have_samples() -> None:
    """And the others are counted; of several copies at one address the one that differs most counts."""
    found = [("web-tls", served(ServedMatch.SAME, f"a{number}")) for number in range(9)]
    found += [("api-tls", served(ServedMatch.OTHER)), ("api-tls", served(ServedMatch.SAME))]
    samples = served_samples(("ops", "dev"), found, NOW, 4)
    shown = [one.labels[2:] for one in samples if one.family is definitions.SERVED]
    assert len(shown) == 4
    assert shown[0] == ("api-tls", ADDRESS, "other")
    assert [one.value for one in samples if one.family is definitions.SERVED_DROPPED] == [6]


def inventory() -> dict[str, Samples]:
    source, config = certificate("web-tls"), unpinned_clusters("dev", "rct")
    older = copy_state(source, "dev", Status.IN_SYNC, served=(served(ServedMatch.OLDER),))
    return served_of(
        InventoryReport(now=NOW, copies=(older, copy_state(source, "rct", Status.IN_SYNC))), config
    )


def test_an_inventory_tells_it_too() -> None:
    """Of clusters that have addresses."""
    found = inventory()
    assert list(found) == ["dev"]
    parts = {Part(Kind.SERVED, name): samples for name, samples in found.items()}
    assert matches(parts) == [("dev", "web-tls", ADDRESS, "older")]


@pytest.mark.parametrize("job", ["all", "eu"])
def test_an_inventory_replaces_what_is_served_where_the_cluster_is(job: str) -> None:
    """In the job of its group, if it has one, with what other clusters of that job serve."""

    def samples(*clusters: ClusterReport) -> Samples:
        return tuple(one for listed in merge({}, report(*clusters)).values() for one in listed)

    dev, rct = looked("dev", ServedMatch.SAME), looked("rct", ServedMatch.NONE)
    known = {"all": samples(cluster_report("rct", KEPT)), job: samples(dev, rct)}
    (pushed,) = served_by_job(known, inventory(), "all").items()
    assert pushed[0] == job
    assert {one.family.kind for one in pushed[1]} == {Kind.SERVED}
    assert sorted(one.labels[1:] for one in pushed[1] if one.family is definitions.SERVED) == [
        ("dev", "web-tls", ADDRESS, "older"),
        ("rct", "web-tls", "a0", "none"),
    ]


def test_an_inventory_before_the_first_run_pushes_to_the_shared_job() -> None:
    """Nothing is known of the cluster yet."""
    assert list(served_by_job({}, inventory(), "all")) == ["all"]
