"""The samples of a report, and what replaces them."""

from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.models import Action, Requests, RunReport, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.metrics import definitions
from tasks.metrics.definitions import Family
from tasks.metrics.samples import Parts, Samples, by_part, merge, run_samples, without_duplicates
from tests.support.factories import NOW, certificate, cluster_report, issuance, rejection, snapshot, version
from tests.support.metrics_example import DOWN, KEPT, NEW, OLD, REFUSED, report, row


def all_parts(given: RunReport) -> Parts:
    """Return all samples of a report that replaces nothing."""
    return {**merge({}, given), **by_part(run_samples(given))}


def values(parts: Parts, family: Family) -> dict[tuple[str, ...], float]:
    found = [sample for listed in parts.values() for sample in listed if sample.family is family]
    assert len({sample.labels for sample in found}) == len(found)
    return {sample.labels: sample.value for sample in found}


def test_a_cluster_without_failures_is_a_success() -> None:
    """The last success is the end of the run; rows are counted by action and reason."""
    written = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "api-tls", applied=True)
    parts = all_parts(report(cluster_report("dev", KEPT, written)))
    assert values(parts, definitions.LAST_SUCCESS) == {("ops", "dev"): NOW.timestamp()}
    assert values(parts, definitions.CLUSTER_SUCCESS) == {("ops", "dev"): 1}
    assert values(parts, definitions.CERTIFICATES) == {
        ("ops", "dev", "keep", "InSync"): 1,
        ("ops", "dev", "update", "CertificateRenewed"): 1,
    }
    assert values(parts, definitions.IN_SYNC) == {("ops", "dev"): 2}
    assert values(parts, definitions.REFUSED) == values(parts, definitions.CLUSTER_FAILURES) == {}
    assert values(parts, definitions.RUN_SECONDS) == {("ops",): 7}


def test_a_failed_run_keeps_the_last_success() -> None:
    """Only a success replaces the last success."""
    first = merge({}, report(cluster_report("rct", KEPT)))
    later = NOW + timedelta(hours=1)
    second = merge(first, report(cluster_report("rct", failures=(DOWN,)), now=later))
    assert values(second, definitions.LAST_SUCCESS) == {("ops", "rct"): NOW.timestamp()}
    assert values(second, definitions.CLUSTER_SUCCESS) == {("ops", "rct"): 0}
    assert values(second, definitions.CLUSTER_FAILURES) == {("ops", "rct", "Unreachable"): 1}


def test_the_copies_of_an_unreachable_cluster_stay() -> None:
    """The samples of copies stay as they were last read, so that an alert sees them expire."""
    first = merge({}, report(cluster_report("rct", KEPT)))
    second = merge(first, report(cluster_report("rct", failures=(DOWN,))))
    assert values(first, definitions.COPY_END) == values(second, definitions.COPY_END) != {}


def test_a_group_has_samples_of_its_own_clusters_alone() -> None:
    """Samples of a cluster that has moved to another group vanish from the former group."""
    first = merge(
        {},
        report(cluster_report("dev", KEPT), cluster_report("rct", KEPT), group="eu", members=("dev", "rct")),
    )
    second = merge(first, report(cluster_report("dev", KEPT), group="eu", members=("dev",)))
    assert {part.cluster for part in first} == {"", "dev", "rct"}
    assert {part.cluster for part in second} == {"", "dev"}


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, True),
        ({"configured": ("dev", "rct", "prd")}, False),
        ({"configured": ("dev", "rct", "prd"), "suspended": ("prd",)}, True),
        ({"group": "eu"}, False),
        ({"certificate": "web-tls"}, False),
        ({"snapshot": SourceSnapshot(failure=DOWN)}, False),
    ],
    ids=str,
)
def test_a_run_covers_everything(change: dict[str, Any], whole: bool) -> None:
    """It does if it is for all clusters that are not suspended, and for all certificates."""
    assert (
        report(cluster_report("dev", KEPT), cluster_report("rct", KEPT), **change).covers_everything is whole
    )


def test_a_fleet_keeps_each_part_once() -> None:
    """Parts that a group has, and those of clusters and groups that are gone, are removed."""

    def samples(*names: str) -> Samples:
        merged = merge({}, report(*(cluster_report(name, KEPT) for name in names), configured=names))
        return tuple(sample for listed in merged.values() for sample in listed)

    previous = {"all": samples("dev", "rct", "old"), "eu": samples("dev", "moved"), "gone": samples("rct")}
    remaining = without_duplicates(previous, {"all": ["dev", "rct"], "eu": ["dev"], "gone": []}, "all")
    assert {job: {part.cluster for part in by_part(samples)} for job, samples in remaining.items()} == {
        "all": {"rct"},
        "eu": {"", "dev"},
        "gone": set(),
    }


def test_samples_can_be_split_into_parts_again() -> None:
    """Samples that were read from a Pushgateway are the same parts as before."""
    known = merge(
        {}, report(cluster_report("dev", KEPT), cluster_report("rct", REFUSED, credential_ends=NOW))
    )
    assert by_part(sample for listed in known.values() for sample in listed) == known
    again: Samples = tuple(sample for listed in known.values() for sample in listed)
    assert merge(by_part(again), report(cluster_report("dev", KEPT))) == merge(
        known, report(cluster_report("dev", KEPT))
    )


def test_a_copy_has_its_content_after_the_run() -> None:
    """A copy has the new version if it was written, else the old one; a Secret that is not ours has none."""
    parts = all_parts(
        report(
            cluster_report(
                "dev",
                row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "a-tls", applied=True),
                row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "b-tls"),
                row(Action.CREATE, Reason.MISSING_ON_TARGET, "c-tls", old=None),
                row(Action.REFUSE, Reason.OWNED_BY_ANOTHER_OWNER, "d-tls"),
                row(Action.KEEP, Reason.EXPIRED, "e-tls", new=None),
            )
        )
    )
    ends = {labels[-1]: value for labels, value in values(parts, definitions.COPY_END).items()}
    new, old = NEW.not_after.timestamp(), OLD.not_after.timestamp()
    assert ends == {"a-tls": new, "b-tls": old, "e-tls": old}
    assert values(parts, definitions.PENDING) == {("ops", "dev"): 2}
    assert values(parts, definitions.REFUSED) == {
        ("ops", "dev", "Expired"): 1,
        ("ops", "dev", "OwnedByAnotherOwner"): 1,
    }


def test_many_clusters_share_a_maximum_of_series() -> None:
    """The copies of all clusters together have at most MAX_COPIES series, but each cluster MIN_COPIES."""
    rows = [row(Action.KEEP, Reason.IN_SYNC, f"n{number}-tls", old=OLD) for number in range(200)]
    for clusters in (50, 1000):
        names = ("dev", *(f"c{n}" for n in range(1, clusters)))
        parts = all_parts(report(cluster_report("dev", *rows), configured=names))
        share = max(definitions.MIN_COPIES, definitions.MAX_COPIES // clusters)
        assert len(values(parts, definitions.COPY_END)) == share
        assert values(parts, definitions.COPIES_DROPPED) == {("ops", "dev"): 200 - share}


def test_each_expiry_has_a_renewal_time() -> None:
    """A copy with OPS's content has cert-manager's renewal; others, two thirds of their lifetime."""
    renewal = NOW + timedelta(days=1)
    rows = (
        row(Action.KEEP, Reason.IN_SYNC, "a-tls", old=NEW, new=NEW),
        row(Action.KEEP, Reason.EXPIRED, "b-tls", old=OLD, new=None),
    )
    found = snapshot(certificate("a-tls", version=NEW, renewal=renewal), certificate("c-tls", version=NEW))
    parts = all_parts(report(cluster_report("dev", *rows), snapshot=found))
    third = timedelta(days=30)
    assert {labels[-1]: value for labels, value in values(parts, definitions.SOURCE_RENEWAL).items()} == {
        "a-tls": renewal.timestamp(),
        "c-tls": (NEW.not_after - third).timestamp(),
    }
    assert {labels[-1]: value for labels, value in values(parts, definitions.COPY_RENEWAL).items()} == {
        "a-tls": renewal.timestamp(),
        "b-tls": (OLD.not_after - third).timestamp(),
    }


def test_beyond_a_maximum_certificates_and_copies_are_counted() -> None:
    """Those that expire first have series of their own; the rest is a number."""
    rows = [
        row(Action.KEEP, Reason.IN_SYNC, f"n{number}-tls", old=version(age=number / 100), new=None)
        for number in range(definitions.MAX_SERIES + 7)
    ]
    certificates = [certificate(one.certificate, version=one.old) for one in rows]
    parts = all_parts(report(cluster_report("dev", *rows), snapshot=snapshot(*certificates)))
    for family, dropped in (
        (definitions.COPY_END, definitions.COPIES_DROPPED),
        (definitions.SOURCE_END, definitions.SOURCE_DROPPED),
    ):
        names = {labels[-1] for labels in values(parts, family)}
        assert len(names) == definitions.MAX_SERIES
        assert names == {f"n{number}-tls" for number in range(7, definitions.MAX_SERIES + 7)}
        assert set(values(parts, dropped).values()) == {7}


def test_rejections_requests_and_credentials_have_samples() -> None:
    """Rejections are counted by reason, requests by verb and code; each credential has its expiry."""
    ends = NOW + timedelta(days=2)
    found = snapshot(rejection("a-tls"), rejection("b-tls"), credential_ends=ends)
    requests = (Requests(verb="GET", code="200", count=9), Requests(verb="PATCH", code="none", count=1))
    parts = all_parts(
        report(cluster_report("dev", credential_ends=ends), snapshot=found, requests=requests, began=None)
    )
    assert values(parts, definitions.SOURCE_REJECTED) == {("ops", "Expired"): 2}
    assert values(parts, definitions.RUN_REQUESTS) == {("ops", "GET", "200"): 9, ("ops", "PATCH", "none"): 1}
    assert values(parts, definitions.CREDENTIAL_END) == dict.fromkeys(
        [("ops", "dev"), ("ops", "OPS")], ends.timestamp()
    )
    assert values(parts, definitions.RUN_SECONDS) == {}


def test_issuances_and_unrouted_secrets_are_counted() -> None:
    """Issuances are counted by reason, Secrets that no route names as one number."""
    found = snapshot(
        issuance("a-tls"), issuance("b-tls", attempts=1), unrouted_rejections=2, unrouted_issuances=1
    )
    parts = all_parts(report(cluster_report("dev"), snapshot=found))
    assert values(parts, definitions.SOURCE_NOT_ISSUED) == {
        ("ops", "IssuanceLate"): 1,
        ("ops", "IssuancePending"): 1,
    }
    assert values(parts, definitions.SOURCE_UNROUTED) == {("ops",): 3}
