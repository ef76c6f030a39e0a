"""One report of several: every row, the newest one of a copy, and no failure that is not made up for."""

from dataclasses import replace

from tasks.domain.models import Action, Change, ClusterReport, RunReport, SecretRef
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.report.merge import count_rows, merged
from tasks.report.verdict import run_verdict
from tests.support.factories import cluster_report, failure, run_report
from tests.support.report_example import CREATED, UPDATED


def row(name: str, reason: Reason = Reason.CERTIFICATE_RENEWED) -> Change:
    writes = reason is Reason.CERTIFICATE_RENEWED
    target = SecretRef(namespace="app", name=name)
    action = Action.UPDATE if writes else Action.KEEP
    return Change(action=action, reason=reason, target=target, certificate=name, applied=writes)


def of(certificate: str | None, *clusters: ClusterReport, pending: tuple[str, ...] = ()) -> RunReport:
    return run_report(*clusters).model_copy(
        update={"parameters": RunParameters(certificate=certificate), "pending": pending}
    )


def test_all_rows_of_all_reports_are_there() -> None:
    """Three hundred renewals on three clusters lose none of 900 rows."""
    names = [f"web-{number:03}-tls" for number in range(300)]
    together = merged(
        [of(name, *(cluster_report(c, row(name)) for c in ("dev", "rct", "prd"))) for name in names]
    )
    assert count_rows(together) == 900
    assert [[one.target.name for one in cluster.changes] for cluster in together.clusters] == [names] * 3
    assert run_verdict(together).message.startswith("3 clusters: update 900")
    assert together.parameters.certificate is None


def test_the_newest_row_of_a_copy_counts_unless_it_only_keeps() -> None:
    """A copy that changed twice has its second row; that one was in sync afterwards hides no write."""
    first, second = row("a"), replace(row("a"), detail="again")
    kept = row("a", Reason.IN_SYNC)
    dev = merged([of("a", cluster_report("dev", one)) for one in (first, second, kept)]).clusters[0]
    assert dev.changes == (second,)
    dev = merged([of("a", cluster_report("dev", one)) for one in (kept, first)]).clusters[0]
    assert dev.changes == (first,)


def test_a_refused_request_hides_no_row_of_its_target() -> None:
    """Reports of two certificates may have rows of one target; one of all certificates has those of now."""
    refused = replace(
        row("a"), certificate="b", action=Action.NOTHING, reason=Reason.REQUEST_CONFLICT, applied=False
    )
    reports = [of("a", cluster_report("dev", row("a"))), of("b", cluster_report("dev", refused))]
    assert set(merged(reports).clusters[0].changes) == {row("a"), refused}
    withdrawn = of(None, cluster_report("dev", row("a", Reason.IN_SYNC)))
    assert merged([*reports, withdrawn]).clusters[0].changes == (row("a"),)


def test_a_failure_remains_until_a_report_of_the_same_makes_up_for_it() -> None:
    """A later success of another certificate does not hide it; one of all certificates does."""
    failed = of("a", cluster_report("dev", failures=(failure(),)))
    fine = [of("b", cluster_report("dev", row("b"))), of("a", cluster_report("dev", row("a")))]
    assert not run_verdict(merged([failed, fine[0]])).ok
    assert run_verdict(merged([failed, fine[1]])).ok
    assert run_verdict(merged([failed, fine[0], of(None, cluster_report("dev", row("a")))])).ok
    assert (
        len(merged([failed, of("b", cluster_report("dev", failures=(failure(),)))]).clusters[0].failures) == 1
    )


def test_a_cluster_is_pending_until_its_own_report() -> None:
    """The record names the clusters of which nothing has come since."""
    slow = of("a", cluster_report("dev", row("a")), pending=("rct", "prd"))
    assert merged([slow, of("a", cluster_report("rct", row("a")))]).pending == ("prd",)


def test_one_report_stays_as_it_is() -> None:
    """A report that waits alone is recorded as it was made."""
    report = of("a", cluster_report("dev", CREATED, UPDATED))
    assert merged([report]) is report
