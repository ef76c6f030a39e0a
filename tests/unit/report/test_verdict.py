"""The name and message of a run's final state, and the certificates near expiry."""

from datetime import timedelta

import pytest

from tasks.domain.errors import ClusterFailed, first_problem
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import RunReport, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.report import verdict
from tests.support.factories import (
    NAME,
    NOW,
    certificate,
    change,
    cluster_report,
    failure,
    issuance,
    rejection,
    run_report,
    snapshot,
    version,
)
from tests.support.report_example import CREATED, DOWN, GONE, LATE, PENDING, REFUSED, UPDATED

UNREACHABLE = "Unreachable: list secrets in homarr-rct: no connection to the API server"
FOREIGN = "OwnedByOther: homarr-dev/c-tls: a Secret of that name exists and is not ours"
VERDICTS = {
    "nothing is to do": (
        run_report(cluster_report("dev", change()), cluster_report("rct", change())),
        True,
        "2 clusters: keep 2",
    ),
    "there is nothing anywhere": (run_report(cluster_report("dev")), True, "1 cluster: nothing to do"),
    "something was done": (
        run_report(cluster_report("dev", CREATED, UPDATED, GONE), cluster_report("rct", CREATED)),
        True,
        "2 clusters: create 2, update 1, keep 1",
    ),
    "a dry run": (
        run_report(cluster_report("dev", CREATED, dry_run=True), dry_run=True),
        True,
        "1 cluster: dry run, nothing written: create 1",
    ),
    "one of three is down": (
        run_report(cluster_report("dev"), DOWN, cluster_report("prd")),
        False,
        f"1 of 3 clusters failed: rct ({UNREACHABLE})",
    ),
    "the only one is down": (run_report(DOWN), False, f"1 of 1 cluster failed: rct ({UNREACHABLE})"),
    "all of twelve are down: the report has the rest": (
        run_report(
            *(cluster_report(f"c{number}", failures=(failure(cluster=f"c{number}"),)) for number in range(12))
        ),
        False,
        "12 of 12 clusters failed: "
        + "; ".join([*(f"c{number} ({UNREACHABLE})" for number in range(10)), "and 2 more"]),
    ),
    "one refuses, one is down": (
        run_report(cluster_report("dev", CREATED, REFUSED), DOWN),
        False,
        f"2 of 2 clusters failed: dev ({FOREIGN}); rct ({UNREACHABLE})",
    ),
    "one has several problems": (
        run_report(cluster_report("rct", REFUSED, REFUSED, failures=(failure(detail="HTTP 500"),))),
        False,
        f"1 of 1 cluster failed: rct ({UNREACHABLE} (HTTP 500) (and 2 more))",
    ),
    "OPS has nothing that is fit": (
        run_report(cluster_report("dev"), snapshot=snapshot()),
        True,
        "1 cluster: nothing to do; warning: OPS has no certificate that is fit to be sent",
    ),
    "one is being issued": (
        run_report(
            cluster_report("dev", CREATED, PENDING), snapshot=snapshot(certificate(), issuance("n-tls"))
        ),
        True,
        "1 cluster: create 1, nothing 1; 1 not issued yet",
    ),
    "one should have been issued": (
        run_report(cluster_report("dev", CREATED, PENDING, LATE), cluster_report("rct", PENDING)),
        False,
        f"1 of 2 clusters failed: dev (IssuanceLate: homarr-dev/o-tls: {Reason.ISSUANCE_LATE.sentence})",
    ),
    "there are several notes": (
        run_report(
            cluster_report("dev", change()),
            snapshot=snapshot(certificate(age=80), rejection("x"), rejection("y")),
            suspended=("rct", "prd"),
        ),
        True,
        "1 cluster: keep 1; 2 rejected on OPS; 1 near expiry; suspended: rct, prd",
    ),
}


@pytest.mark.parametrize(("given", "ok", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_the_message_names_failed_clusters_or_counts_actions(
    given: RunReport, ok: bool, expected: str
) -> None:
    """The message names each failed cluster with its first problem, or else counts the actions."""
    name = "Completed" if ok else "ClustersFailed"
    assert verdict.run_verdict(given) == verdict.Verdict(ok, name, expected)


def test_a_run_without_ops_has_failed() -> None:
    """If OPS can't be read, nothing is written, and the message names the failure."""
    broken = failure(FailureCode.FORBIDDEN, "ops")
    expected = f"nothing was written, OPS can't be read: {broken}. To do: {broken.code.remedy}"
    given = run_report(snapshot=SourceSnapshot(failure=broken))
    assert verdict.run_verdict(given) == verdict.Verdict(ok=False, name="SourceUnreadable", message=expected)


def test_a_cluster_without_problems_has_no_first_problem() -> None:
    """The first problem of a report without problems is a text, not an error."""
    assert first_problem(cluster_report()) == "no failure"
    assert str(ClusterFailed(DOWN)) == f"rct: {UNREACHABLE}"


EXPIRY = {
    "three tenths of its life are left": (63, 90, []),
    "an hour less than three tenths": (63.05, 90, ["warning: 26 days left"]),
    "seven days": (83, 90, ["warning: 7 days left"]),
    "an hour less than seven days": (83.05, 90, ["urgent: 6 days left"]),
    "one day": (88.5, 90, ["urgent: 1 day left"]),
    "hours": (89.5, 90, ["urgent: 0 days left"]),
    "it has ended": (91, 90, ["urgent: -1 days left"]),
    "fresh, of those that live for six days": (0.5, 6, []),
    "late, of those that live for six days": (4.3, 6, ["warning: 1 day left"]),
    "old, of those that live for six days": (5.05, 6, ["urgent: 0 days left"]),
    "fresh, of those that live for 45 days": (31, 45, []),
    "old, of those that live for 45 days": (32, 45, ["warning: 13 days left"]),
}


@pytest.mark.parametrize(("age", "life", "expected"), EXPIRY.values(), ids=EXPIRY)
def test_expiring_goes_by_the_share_of_life_left(age: float, life: float, expected: list[str]) -> None:
    """Below three tenths of its life a certificate is a warning, and urgent below a sixth and seven days."""
    given = run_report(snapshot=snapshot(certificate(age=age, life=life)))
    assert [text for _, text in verdict.expiring(given.snapshot, NOW)] == expected


RENEWALS = {
    "renewed at half its life, and due": (3.2, 6, 3, []),
    "a tenth of the rest later": (3.35, 6, 3, ["warning: 2 days left"]),
    "half of the rest later": (4.55, 6, 3, ["urgent: 1 day left"]),
    "renewed ten days before its end, and due": (80.9, 90, 80, []),
    "a day later": (81.1, 90, 80, ["warning: 8 days left"]),
    "renewed two days before its end": (88.1, 90, 88, []),
    "a renewal that is no time of its life": (64, 90, 100, ["warning: 26 days left"]),
}


@pytest.mark.parametrize(("age", "life", "renewed", "expected"), RENEWALS.values(), ids=RENEWALS)
def test_expiring_goes_by_when_cert_manager_renews(
    age: float, life: float, renewed: float, expected: list[str]
) -> None:
    """Whatever renewBefore is, the warning comes after a tenth of the time from renewal to expiry."""
    renewal = NOW - timedelta(days=age - renewed)
    given = run_report(snapshot=snapshot(certificate(age=age, life=life, renewal=renewal)))
    assert [text for _, text in verdict.expiring(given.snapshot, NOW)] == expected


def test_expiring_is_sorted_by_expiry() -> None:
    """The earliest expiry comes first; certificates with the same expiry are sorted by name."""
    ages = {"c": 85, "b": 85, "a": 70, "fresh": 1}
    given = run_report(snapshot=snapshot(*(certificate(name, age=age) for name, age in ages.items())))
    assert [one.ref.name for one, _ in verdict.expiring(given.snapshot, NOW)] == ["b", "c", "a"]


def test_near_expiry_depends_on_the_time_of_the_run() -> None:
    """The message goes by the report's `now`, not by the clock."""
    given = run_report(cluster_report("dev"), snapshot=snapshot(certificate(age=10)))
    later = given.model_copy(update={"now": NOW + timedelta(days=60)})
    assert "near expiry" not in verdict.run_verdict(given).message
    assert verdict.run_verdict(later).message.endswith("1 near expiry")


MANY = [certificate(f"c{number}-tls", version=version(age=89)) for number in range(3)]
CHANGES = {
    "it was copied: what is near expiry elsewhere is not repeated": (
        run_report(cluster_report("dev", UPDATED), snapshot=snapshot(*MANY), certificate=NAME),
        "1 cluster: update 1",
    ),
    "it is not fit to be sent": (
        run_report(cluster_report("dev", change()), snapshot=snapshot(rejection(), *MANY), certificate=NAME),
        "1 cluster: keep 1; rejected on OPS (Expired)",
    ),
    "it is awaited": (
        run_report(cluster_report("dev"), snapshot=snapshot(issuance(), *MANY), certificate=NAME),
        "1 cluster: nothing to do; not issued yet",
    ),
    "a cluster is slow": (
        run_report(cluster_report("dev", UPDATED), pending=("rct",), certificate=NAME),
        "1 cluster: update 1; still at work, with reports of their own to follow: rct",
    ),
    "a cluster failed": (
        run_report(cluster_report("dev", UPDATED), DOWN, certificate=NAME),
        f"1 of 2 clusters failed: rct ({UNREACHABLE})",
    ),
}


@pytest.mark.parametrize(("report", "message"), CHANGES.values(), ids=CHANGES)
def test_the_message_of_a_change_is_about_its_certificate(report: RunReport, message: str) -> None:
    """A thousand other certificates add nothing to it."""
    assert verdict.change_message(report) == message


@pytest.mark.parametrize(("report", "ok", "_"), VERDICTS.values(), ids=VERDICTS)
def test_whether_a_run_went_well_is_told_without_its_message(report: RunReport, ok: bool, _: str) -> None:
    """The metric of a run's success is that of its final state."""
    assert verdict.is_ok(report) == verdict.run_verdict(report).ok == ok
