"""The descriptions of artifacts."""

from datetime import timedelta

import pytest

from tasks.domain.models import Action, ClusterReport, RunReport
from tasks.domain.reasons import Reason
from tasks.report.headline import cluster_headline, headline, run_headline
from tasks.report.verdict import Verdict
from tests.support.factories import NOW, change, cluster_report, failure, run_report, snapshot
from tests.support.report_example import CREATED, DOWN, EXAMPLE, REFUSED, UPDATED

WOULD = change(Action.CREATE, Reason.MISSING_ON_TARGET, "a-tls")


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (cluster_report("dev", CREATED, UPDATED, change()), "dev ✓ create 1, update 1"),
        (cluster_report("dev", change()), "dev ✓ in sync, 1 copy"),
        (cluster_report("dev", change(), change()), "dev ✓ in sync, 2 copies"),
        (cluster_report("dev"), "dev ✓ in sync, 0 copies"),
        (cluster_report("dev", WOULD, dry_run=True), "dev ✓ would create 1"),
        (DOWN, "rct ✗ Unreachable"),
        (cluster_report("dev", CREATED, REFUSED, REFUSED), "dev ✗ OwnedByOther and 1 more"),
    ],
)
def test_a_cluster_is_described_in_a_few_words(cluster: ClusterReport, text: str) -> None:
    """The list of artifacts says of each cluster whether it is in sync, what was done, or what is wrong."""
    assert cluster_headline(cluster, NOW) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(minutes=13), "rct ✗ Unreachable, last in sync 11:47 UTC"),
        (timedelta(days=2), "rct ✗ Unreachable, last in sync 2026-02-27 12:00 UTC"),
    ],
)
def test_a_failed_cluster_says_since_when(before: timedelta, text: str) -> None:
    """The day is left out where it is today; a cluster in sync needs no time."""
    assert cluster_headline(DOWN, NOW, NOW - before) == text
    assert cluster_headline(cluster_report("dev"), NOW, NOW - before) == "dev ✓ in sync, 0 copies"


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (run_report(cluster_report("dev", CREATED)), "✓ 1 cluster: create 1"),
        (EXAMPLE, "✗ 1 of 3 clusters failed: rct (Unreachable and 1 more)"),
        (run_report(snapshot=snapshot(failure=failure())), "✗ nothing was written: OPS: Unreachable"),
        (
            run_report(*(cluster_report(f"c{n}", REFUSED) for n in range(12))),
            f"✗ 12 of 12 clusters failed: {', '.join(f'c{n} (OwnedByOther)' for n in range(10))}, and 2 more",
        ),
    ],
)
def test_a_run_is_described_in_a_line(report: RunReport, text: str) -> None:
    """Its details, which may be long, are left to the report."""
    assert run_headline(report) == text


def test_a_verdict_has_a_mark() -> None:
    """So begin the descriptions of the preflight, the inventory and a fleet."""
    assert headline(Verdict(ok=True, name="Completed", message="all\nready")) == "✓ all?ready"
    assert headline(Verdict(ok=False, name="x", message="no")) == "✗ no"
