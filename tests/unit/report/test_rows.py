"""What the terminal report and the Markdown report share: rows, columns and the overview."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    RunReport,
    Served,
    ServedCopy,
    ServedMatch,
    SourceSnapshot,
)
from tasks.domain.reasons import Reason
from tasks.report import markdown, rows, terminal
from tasks.report.document import document
from tests.support.factories import (
    NOW,
    change,
    cluster_report,
    failure,
    run_report,
)
from tests.support.report_example import CREATED, EXAMPLE, GONE, NEW, REFUSED, UPDATED


def test_rows_put_failed_ones_first_and_leave_out_what_is_in_sync() -> None:
    """Failed rows come first, then the others by namespace and name, without copies in sync."""
    other = change(Action.REFUSE, Reason.OWNED_BY_OTHER, "b-tls", namespace="headlamp-dev")
    given = cluster_report("dev", GONE, UPDATED, change(), CREATED, REFUSED, other)
    assert rows.not_in_sync(given) == [other, REFUSED, CREATED, UPDATED, GONE]


@pytest.mark.parametrize(
    ("change", "dry_run", "expected"),
    [
        (CREATED, False, "create"),
        (replace(CREATED, applied=False), False, "create (not done)"),
        (replace(CREATED, applied=False), True, "would create"),
        (replace(UPDATED, applied=False), True, "would update"),
        (REFUSED, True, "refuse"),
        (GONE, False, "keep"),
    ],
)
def test_action_label_says_whether_the_write_took_place(change: Change, dry_run: bool, expected: str) -> None:
    """A write that did not take place is shown as such."""
    assert rows.action_label(change, cluster_report(dry_run=dry_run)) == expected


def test_an_explanation_has_sentence_detail_and_remedy() -> None:
    """A row gives its reason, with the detail, and the remedy where a person has something to do."""
    sentence = Reason.HOSTNAME_NOT_ALLOWED.sentence
    refused = change(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail="a.org")
    assert rows.explain(refused) == f"{sentence} (a.org): {Reason.HOSTNAME_NOT_ALLOWED.remedy}"
    assert rows.explain(CREATED) == "the target does not have it yet"


def test_a_version_is_shown_in_19_characters() -> None:
    """A version is shown as the first digits of its fingerprint, and its expiry."""
    assert (rows.format_version(NEW), rows.format_version(None)) == ("a1a1a1a1 2026-05-20", "-")


def test_overview_counts_what_took_place() -> None:
    """The overview has one row per cluster, failed ones first: rows per action, failures, state."""
    given = [
        cluster_report("dev", CREATED, UPDATED, UPDATED, GONE),
        cluster_report("rct", REFUSED, failures=(failure(),)),
    ]
    header, body = rows.overview(given)
    assert header == ["cluster", "create", "update", "keep", "refuse", "nothing", "failures", "state"]
    assert body == [
        ["rct", "0", "0", "0", "1", "0", "1", "FAILED"],
        ["dev", "1", "2", "1", "0", "0", "0", "ok"],
    ]


def test_the_overview_tells_what_is_served_where_a_run_looked() -> None:
    """How many addresses of a cluster present what is stored; where nobody asked, there is no number."""
    copy = ServedCopy(
        address="web.example.org",
        name="web.example.org",
        target=UPDATED.target,
        certificate=UPDATED.certificate,
        not_before=NOW,
    )
    matches = (ServedMatch.SAME, ServedMatch.OLDER)
    looked = [copy.model_copy(update={"served": Served(address=copy.address, match=one)}) for one in matches]
    dev, rct = cluster_report("dev", served=tuple(looked)), cluster_report("rct", served=(copy,))
    header, body = rows.overview([dev, rct])
    assert header[-3:] == ["served", "failures", "state"]
    assert [row[-3] for row in body] == ["1 of 2", "-"]
    assert "served" not in rows.overview([rct])[0]
    (found,) = document(run_report(dev))["clusters"][0]["served"][1:]
    assert (found["address"], found["likeness"], found["secret"]) == (
        "web.example.org",
        "older",
        UPDATED.target.name,
    )
    assert document(run_report(rct))["clusters"][0]["served"] == []


def test_a_new_column_is_one_line_of_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal and Markdown show each column of the list at its place."""
    uid = rows.Column("uid", lambda change, cluster: f"{change.uid} on {cluster.cluster}")
    monkeypatch.setattr(rows, "COLUMNS", (*rows.COLUMNS[:2], uid, *rows.COLUMNS[2:]))
    given = run_report(cluster_report("dev", replace(UPDATED, uid="7f")))
    lines = terminal.render(given).splitlines()
    assert [line.split()[:5] for line in lines[6:8]] == [
        ["action", "secret", "uid", "reason", "old"],
        ["update", "homarr-dev/b-tls", "7f", "on", "dev"],
    ]
    text = markdown.render_run(given)
    assert "| action | secret | uid | certificate | reason | old | new | why |" in text
    assert "| update | homarr-dev/b-tls | 7f on dev | b-tls | CertificateRenewed |" in text


@pytest.mark.parametrize("render", [terminal.render, markdown.render_run], ids=["the terminal", "Markdown"])
def test_report_is_the_same_text_for_the_same_facts(render: Any) -> None:
    """A report that was serialized, or whose rows are in another order, gives the same text."""
    again = RunReport.model_validate(EXAMPLE.model_dump(mode="json"))
    reordered = [c.model_copy(update={"changes": c.changes[::-1]}) for c in EXAMPLE.clusters]
    assert (
        render(EXAMPLE) == render(again) == render(EXAMPLE.model_copy(update={"clusters": tuple(reordered)}))
    )


@pytest.mark.parametrize("render", [terminal.render, markdown.render_run], ids=["the terminal", "Markdown"])
def test_a_report_without_clusters_says_why(render: Any) -> None:
    """The report of a run that could not read OPS names the failure."""
    text = render(
        run_report(snapshot=SourceSnapshot(failure=failure(FailureCode.TIMEOUT, "ops")), suspended=("lab",))
    )
    assert "OPS can't be read: Timeout: list secrets in homarr-rct" in text.replace("\n  ", " ")
