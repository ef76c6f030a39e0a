"""What reports say of clusters that announce themselves."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure
from tasks.metrics import samples
from tasks.report import document, markdown, terminal
from tasks.report.announced import TOLD_FOR, Roster, parse, render
from tasks.report.verdict import run_verdict
from tests.support.factories import cluster_report, law, run_report

TODAY = date(2026, 3, 1)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


def lack(cluster: str, code: FailureCode = FailureCode.NOT_PINNED, detail: str = "") -> Failure:
    return Failure(code=code, cluster=cluster, what="look", detail=detail)


@law
@given(st.frozensets(NAMES, max_size=5), st.dictionaries(NAMES, st.dates(), max_size=5))
def test_the_next_run_reads_what_one_has_written(announced: frozenset[str], gone: dict[str, date]) -> None:
    """Whatever names and days there are."""
    roster = Roster(announced, {name: day for name, day in gone.items() if name not in announced})
    assert parse(render(roster)) == roster


def test_other_text_is_no_roster() -> None:
    """Whoever may write artifacts can't have a name of theirs reach a report."""
    assert parse("") == Roster()
    assert parse("| edge_1 | announced |\n| a b | announced |\n| x | gone since 2026-99-99 |") == Roster()
    assert parse("| cluster | state |\n| --- | --- |") == Roster()


def test_a_cluster_that_is_gone_is_told_for_a_while() -> None:
    """Since the day on which a run first missed it; when it is back, no more."""
    first = Roster().updated(["a", "b"], [], TODAY)
    assert (first, first.failures(TODAY)) == (Roster(frozenset("ab"), {}), ())
    later = first.updated(["a"], [], TODAY)
    (row,) = later.failures(TODAY)
    assert (row.code, row.cluster, row.detail) == (FailureCode.PROFILE_GONE, "b", "since 2026-03-01")
    again = later.updated(["a"], [], TODAY + timedelta(days=3))
    assert again == later
    assert later.updated(["a"], [], TODAY + TOLD_FOR) == Roster(frozenset("a"), {})
    assert later.updated(["a", "b"], [], TODAY) == first
    assert first.updated(["a"], ["b"], TODAY) == Roster(frozenset("a"), {})  # an entry of its own by now


def test_what_is_lacking_fails_no_run() -> None:
    """Whoever may announce clusters could else make each run Failed; it is told by kind, with what to do."""
    unserved = tuple(lack(f"edge-{n}", detail="no annotation" if n == 0 else "") for n in range(7))
    report = run_report(cluster_report(), discovery=Discovery(is_configured=True, unserved=unserved))
    verdict = run_verdict(report)
    assert verdict.ok
    assert verdict.message.endswith("; 7 discovered clusters not served (NotPinned)")
    text, page = terminal.render(report), markdown.render_run(report)
    assert "edge-0 (no annotation), edge-1, edge-2, edge-3, edge-4 and 2 more" in text.replace("\n    ", " ")
    assert "- **NotPinned** (edge-0, edge-1, edge-2, edge-3, edge-4 and 2 more)" in page
    given = document.document(report)["discovery"]
    assert [one["cluster"] for one in given["unserved"]] == [f"edge-{n}" for n in range(7)]
    assert document.document(run_report(cluster_report()))["discovery"] is None


def test_a_run_that_knows_no_profiles_is_failed_and_keeps_their_metrics() -> None:
    """Their last success must not vanish, or no alert would tell how long ago it was."""
    before = samples.merge(
        {}, run_report(cluster_report("dev"), cluster_report("edge-1"), configured=("dev", "edge-1"))
    )
    failure = Failure(code=FailureCode.FORBIDDEN, cluster="OPS", what="list the profiles")
    blind = run_report(cluster_report("dev"), configured=("dev",), discovery=Discovery(failure=failure))
    assert (run_verdict(blind).ok, run_verdict(blind).name) == (False, "ClustersNotDiscovered")
    assert not blind.covers_everything
    assert {part.cluster for part in samples.merge(before, blind)} == {"", "dev", "edge-1"}
    seeing = run_report(cluster_report("dev"), configured=("dev",))
    assert {part.cluster for part in samples.merge(before, seeing)} == {"", "dev"}
