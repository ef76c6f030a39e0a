"""What people read: the verdict, the terminal, the Markdown, the warnings of certificates near their end."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks.domain import text as texts
from tasks.domain.errors import ClusterFailed, first_problem
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Change, ClusterReport, Failure, RunReport, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.domain.text import table
from tasks.report import markdown, terminal, verdict
from tasks.report import rows as report
from tests.support.factories import NAME, NAMESPACE, NOW, certificate, issuance, rejection, snapshot, version

OLD, NEW = version("b2", age=70), version("a1", age=10)


def row(
    action: Action = Action.KEEP, reason: Reason = Reason.IN_SYNC, name: str = NAME, **values: Any
) -> Change:
    target = SecretRef(namespace=values.pop("namespace", NAMESPACE), name=name)
    return Change(action=action, reason=reason, target=target, certificate=name, **values)


CREATED = row(Action.CREATE, Reason.MISSING_ON_TARGET, "a-tls", new=NEW, applied=True)
UPDATED = row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, "b-tls", old=OLD, new=NEW, applied=True)
REFUSED = row(Action.REFUSE, Reason.OWNED_BY_OTHER, "c-tls", new=NEW)
GONE = row(Action.KEEP, Reason.GONE_FROM_SOURCE, "d-tls", old=OLD)
PENDING = row(Action.NOTHING, Reason.ISSUANCE_PENDING, "n-tls", detail="Certificate n-tls, since noon")
LATE = row(Action.KEEP, Reason.ISSUANCE_LATE, "o-tls", old=OLD)


def failure(cluster: str = "rct", code: FailureCode = FailureCode.UNREACHABLE, **values: Any) -> Failure:
    return Failure(code=code, cluster=cluster, what="list secrets in homarr-rct", **values)


def cluster(name: str = "dev", *changes: Change, **values: Any) -> ClusterReport:
    return ClusterReport(cluster=name, changes=changes, **values)


def run(*clusters: ClusterReport, found: SourceSnapshot | None = None, **values: Any) -> RunReport:
    return RunReport(inventory=found or snapshot(certificate()), clusters=clusters, now=NOW, **values)


DOWN = cluster("rct", failures=(failure(),))

# -- the verdict -----------------------------------------------------------------------------------

UNREACHABLE = "Unreachable: list secrets in homarr-rct: no connection to the API server"
FOREIGN = "OwnedByOther: homarr-dev/c-tls: a Secret of that name exists and is not ours"
VERDICTS = {
    "nothing was to do": (run(cluster("dev", row()), cluster("rct", row())), True, "2 clusters: keep 2"),
    "there is nothing anywhere": (run(cluster("dev")), True, "1 cluster: nothing to do"),
    "something was done": (
        run(cluster("dev", CREATED, UPDATED, GONE), cluster("rct", CREATED)),
        True,
        "2 clusters: create 2, update 1, keep 1",
    ),
    "nothing was written, as asked": (
        run(cluster("dev", CREATED, dry_run=True), dry_run=True),
        True,
        "1 cluster: dry run, nothing written: create 1",
    ),
    "one of three is down": (
        run(cluster("dev"), DOWN, cluster("prd")),
        False,
        f"1 of 3 clusters failed: rct ({UNREACHABLE})",
    ),
    "the only one is down": (run(DOWN), False, f"1 of 1 cluster failed: rct ({UNREACHABLE})"),
    "all of twelve are down: the report has the rest": (
        run(*(cluster(f"c{number}", failures=(failure(f"c{number}"),)) for number in range(12))),
        False,
        "12 of 12 clusters failed: "
        + "; ".join([*(f"c{number} ({UNREACHABLE})" for number in range(10)), "and 2 more"]),
    ),
    "one refuses, one is down": (
        run(cluster("dev", CREATED, REFUSED), DOWN),
        False,
        f"2 of 2 clusters failed: dev ({FOREIGN}); rct ({UNREACHABLE})",
    ),
    "one has more than one trouble": (
        run(cluster("rct", REFUSED, REFUSED, failures=(failure(detail="HTTP 500"),))),
        False,
        f"1 of 1 cluster failed: rct ({UNREACHABLE} (HTTP 500) (and 2 more))",
    ),
    "OPS has nothing that is fit": (
        run(cluster("dev"), found=snapshot()),
        True,
        "1 cluster: nothing to do; warning: OPS has no certificate that is fit to be sent",
    ),
    "one is being issued": (
        run(cluster("dev", CREATED, PENDING), found=snapshot(certificate(), issuance("n-tls"))),
        True,
        "1 cluster: create 1, nothing 1; 1 not issued yet",
    ),
    "one should have been issued": (
        run(cluster("dev", CREATED, PENDING, LATE), cluster("rct", PENDING)),
        False,
        f"1 of 2 clusters failed: dev (IssuanceLate: homarr-dev/o-tls: {Reason.ISSUANCE_LATE.sentence})",
    ),
    "there is much to note": (
        run(
            cluster("dev", row()),
            found=snapshot(certificate(age=80), rejection("x"), rejection("y")),
            suspended=("rct", "prd"),
        ),
        True,
        "1 cluster: keep 1; 2 rejected on OPS; 1 near expiry; suspended: rct, prd",
    ),
}


@pytest.mark.parametrize(("given", "ok", "told"), VERDICTS.values(), ids=VERDICTS)
def test_verdict_says_in_one_line_how_it_ended(given: RunReport, ok: bool, told: str) -> None:
    """The run's last word: failed clusters by name with their first trouble, or what was done."""
    name = "Completed" if ok else "ClustersFailed"
    assert verdict.run_verdict(given) == verdict.Verdict(ok, name, told)


def test_verdict_is_failed_when_the_source_is_unreadable() -> None:
    """Without OPS nothing is known, so nothing is written, and that is the whole verdict."""
    broken = failure("ops", FailureCode.FORBIDDEN)
    expected = f"nothing was written, OPS can't be read: {broken}. To do: {broken.code.remedy}"
    given = run(found=SourceSnapshot(failure=broken))
    assert verdict.run_verdict(given) == verdict.Verdict(ok=False, name="SourceUnreadable", message=expected)


def test_first_trouble_of_a_sound_cluster_is_none() -> None:
    """A report without trouble says so instead of failing."""
    assert first_problem(cluster()) == "no failure"
    assert str(ClusterFailed(DOWN)) == f"rct: {UNREACHABLE}"


# -- expiry ----------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(("age", "life", "told"), EXPIRY.values(), ids=EXPIRY)
def test_expiring_goes_by_the_share_of_life_left(age: float, life: float, told: list[str]) -> None:
    """Below three tenths of its life a certificate is a warning, and urgent below a sixth and seven days."""
    given = run(found=snapshot(certificate(age=age, life=life)))
    assert [text for _, text in verdict.expiring(given.inventory, NOW)] == told


RENEWALS = {
    "renewed at half its life, and due": (3.2, 6, 3, []),
    "a tenth of the rest later": (3.35, 6, 3, ["warning: 2 days left"]),
    "half of the rest later": (4.55, 6, 3, ["urgent: 1 day left"]),
    "renewed ten days before its end, and due": (80.9, 90, 80, []),
    "a day later": (81.1, 90, 80, ["warning: 8 days left"]),
    "renewed two days before its end": (88.1, 90, 88, []),
    "a renewal that is no time of its life": (64, 90, 100, ["warning: 26 days left"]),
}


@pytest.mark.parametrize(("age", "life", "renewed", "told"), RENEWALS.values(), ids=RENEWALS)
def test_expiring_goes_by_when_cert_manager_renews(
    age: float, life: float, renewed: float, told: list[str]
) -> None:
    """Nothing is said before cert-manager is late by a tenth of what was left, whatever renewBefore is."""
    renewal = NOW - timedelta(days=age - renewed)
    given = run(found=snapshot(certificate(age=age, life=life, renewal=renewal)))
    assert [text for _, text in verdict.expiring(given.inventory, NOW)] == told


def test_expiring_tells_the_most_urgent_first() -> None:
    """What ends first is told first, and names decide between equals."""
    ages = {"c": 85, "b": 85, "a": 70, "fresh": 1}
    given = run(found=snapshot(*(certificate(name, age=age) for name, age in ages.items())))
    assert [one.ref.name for one, _ in verdict.expiring(given.inventory, NOW)] == ["b", "c", "a"]


# -- rows ------------------------------------------------------------------------------------------


def test_rows_put_failed_ones_first_and_leave_out_what_is_in_sync() -> None:
    """What needs a person comes first; then by namespace and name; copies in sync are only counted."""
    other = row(Action.REFUSE, Reason.OWNED_BY_OTHER, "b-tls", namespace="headlamp-dev")
    given = cluster("dev", GONE, UPDATED, row(), CREATED, REFUSED, other)
    assert report.not_in_sync(given) == [other, REFUSED, CREATED, UPDATED, GONE]


@pytest.mark.parametrize(
    ("change", "dry_run", "told"),
    [
        (CREATED, False, "create"),
        (replace(CREATED, applied=False), False, "create (not done)"),
        (replace(CREATED, applied=False), True, "would create"),
        (replace(UPDATED, applied=False), True, "would update"),
        (REFUSED, True, "refuse"),
        (GONE, False, "keep"),
    ],
)
def test_action_label_says_whether_the_write_took_place(change: Change, dry_run: bool, told: str) -> None:
    """A write that did not take place is shown as such."""
    assert report.action_label(change, cluster(dry_run=dry_run)) == told


def test_an_explanation_has_sentence_detail_and_remedy() -> None:
    """A row gives its reason, with the detail, and the remedy where a person has something to do."""
    sentence = Reason.HOSTNAME_NOT_ALLOWED.sentence
    refused = row(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail="a.org")
    assert report.explain(refused) == f"{sentence} (a.org): {Reason.HOSTNAME_NOT_ALLOWED.remedy}"
    assert report.explain(CREATED) == "the target does not have it yet"


def test_a_version_is_shown_in_19_characters() -> None:
    """A version is shown as the first digits of its fingerprint, and its expiry."""
    assert (report.format_version(NEW), report.format_version(None)) == ("a1a1a1a1 2026-05-20", "-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let's Encrypt R10", "Let's Encrypt R10"),
        ("Müller \u4e2d", "Müller \u4e2d"),
        ("a\nb\r\tc", "a?b??c"),
        ("\x1b[31mred\x7f\x00", "?[31mred??"),
        ("\x85\x9b", "??"),
        ("\U0001f389", "\U0001f389"),
        pytest.param(
            "a\u2028b\u2029c\u202ed\u200fe\ufeff",
            "a?b?c?d?e?",
        ),
    ],
)
def test_plain_text_stays_on_its_line(text: str, expected: str) -> None:
    """What could move the cursor, end the line or turn the writing round is replaced."""
    assert texts.printable(text) == expected


def test_table_is_as_wide_as_it_must_be() -> None:
    """Columns line up, nothing trails, and no cell breaks the line."""
    assert table(["a", "bbb"], [["1\n2", "x"], ["", "yyyy"]]) == [
        "a    bbb",
        "1?2  x",
        "     yyyy",
    ]


def test_overview_counts_what_took_place() -> None:
    """One line per cluster, the worst first: rows per action, failures, state."""
    given = [cluster("dev", CREATED, UPDATED, UPDATED, GONE), cluster("rct", REFUSED, failures=(failure(),))]
    header, body = report.overview(given)
    assert header == ["cluster", "create", "update", "keep", "refuse", "nothing", "failures", "state"]
    assert body == [
        ["rct", "0", "0", "0", "1", "0", "1", "FAILED"],
        ["dev", "1", "2", "1", "0", "0", "0", "ok"],
    ]


# -- the terminal ----------------------------------------------------------------------------------

BUSY = run(
    cluster("dev", CREATED, GONE, row(), warnings=("clusterId is not pinned; this cluster's is 0c2f",)),
    cluster("rct", REFUSED, failures=(failure(detail="HTTP 500", transient=True),)),
    cluster("prd", row()),
    found=snapshot(
        certificate(),
        certificate("old-tls", age=85, warnings=("tls.crt holds no issuer",)),
        rejection("x-tls"),
        issuance("n-tls"),
        issuance("o-tls", attempts=1),
        warnings=("a-tls: not ready",),
        unrouted_rejections=3,
        unrouted_issuances=1,
    ),
    suspended=("lab",),
)

TERMINAL = """\
tls-sync: 1 of 3 clusters failed: rct (Unreachable: list secrets in homarr-rct: no connection to the
  API server (HTTP 500) (and 1 more))

cluster  create  update  keep  refuse  nothing  failures  state
rct      0       0       0     1       0        1         FAILED
dev      1       0       2     0       0        0         ok
prd      0       0       1     0       0        0         ok

rct
  Unreachable: list secrets in homarr-rct: no connection to the API server (HTTP 500). To do: check
    that the API server runs and that the network lets OPS reach it.
  action  secret            reason        old -> new, each with its expiry
  refuse  homarr-dev/c-tls  OwnedByOther  - -> a1a1a1a1 2026-05-20
  homarr-dev/c-tls: a Secret of that name exists and is not ours: delete it, hand it over
    (annotation tls-sync.io/adopt: <owner>), or use another name (route)

dev
  action  secret            reason           old -> new, each with its expiry
  create  homarr-dev/a-tls  MissingOnTarget  - -> a1a1a1a1 2026-05-20
  keep    homarr-dev/d-tls  GoneFromSource   b2b2b2b2 2026-03-21 -> -
  warning: clusterId is not pinned; this cluster's is 0c2f

on OPS (2 certificates fit to be sent)
  rejected x-tls: Expired: its notAfter has passed (since 2026): find out why cert-manager does not
    renew it
  not issued o-tls: IssuanceLate: cert-manager should have issued it by now (Certificate o-tls,
    since 2026-03-01 11:55 UTC, failed attempts: 1): see why: `cmctl status certificate
    <certificate>`, or describe its Certificate, Order and Challenge on OPS
  not issued n-tls: IssuancePending: cert-manager has yet to issue it (Certificate n-tls, since
    2026-03-01 11:55 UTC): nothing to do: a run after the issuance sends it; after an hour, or a
    failed attempt, it is late
  expiring old-tls: urgent: 5 days left (until 2026-03-06)
  3 Secrets on OPS are not fit to be sent and are not routed
  1 certificate on OPS is not issued yet and is not routed
  warning: a-tls: not ready
  warning: old-tls: tls.crt holds no issuer
  suspended, so left out: lab"""


def test_terminal_shows_everything_that_needs_a_look() -> None:
    """A whole report, as a log shows it."""
    assert terminal.render(BUSY) == TERMINAL


def test_terminal_says_little_when_all_is_well() -> None:
    """A run with nothing to do is the verdict and the table of clusters."""
    assert terminal.render(run(cluster("dev", row()))).splitlines() == [
        "tls-sync: 1 cluster: keep 1",
        "",
        "cluster  create  update  keep  refuse  nothing  failures  state",
        "dev      0       0       1     0       0        0         ok",
    ]


def test_terminal_says_that_it_was_a_dry_run() -> None:
    """Nobody takes a dry run's report for a real one."""
    first = terminal.render(run(cluster("dev", dry_run=True), dry_run=True)).splitlines()[0]
    assert first == "tls-sync (dry run): 1 cluster: dry run, nothing written: nothing to do"


def test_terminal_says_since_when_an_issuance_is_pending() -> None:
    """The row has its sentence although nothing failed: whoever waits reads what for."""
    lines = terminal.render(run(cluster("dev", PENDING))).splitlines()
    assert lines[7].split()[:3] == ["nothing", "homarr-dev/n-tls", "IssuancePending"]
    told = "cert-manager has yet to issue it (Certificate n-tls, since noon):"
    assert lines[8] == f"  homarr-dev/n-tls: {told} nothing to do:"


def test_terminal_says_how_many_rows_are_left() -> None:
    """A log has the first rows of each cluster, failed ones first, and says how many more there are."""
    rows = [row(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n:02}", applied=True) for n in range(25)]
    lines = terminal.render(run(cluster("dev", *rows, REFUSED))).splitlines()
    shown = [line.split()[1] for line in lines if line.startswith(("  create", "  refuse"))]
    assert shown == ["homarr-dev/c-tls", *(f"homarr-dev/t-{n:02}" for n in range(report.LOG_ROWS - 1))]
    assert "  … and 6 more rows: see the run's artifact" in lines


def test_terminal_mentions_no_more_rows_when_all_are_shown() -> None:
    """With exactly as many rows as the log takes, none is left."""
    rows = [row(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n:02}") for n in range(report.LOG_ROWS)]
    assert "more rows" not in terminal.render(run(cluster("dev", *rows)))


LONG = "a-long-name-of-a-certificate"
WIDE = {
    "creates and refusals": run(cluster("dev", CREATED, REFUSED)),
    "a sentence of 101 columns": run(cluster("dev", warnings=(f"{'x' * 44} {'y' * 45}",))),
    "long sentences": run(
        cluster(
            "dev",
            row(
                Action.REFUSE,
                Reason.HOSTNAME_NOT_ALLOWED,
                detail=", ".join(f"h{n}.example.org" for n in range(30)),
            ),
            warnings=("a warning " * 30,),
        ),
        cluster("rct", failures=(failure(detail="pinned " + "0c2f" * 9 + ", found " + "9e1d" * 9),)),
        found=snapshot(rejection(LONG, Reason.CHAIN_ORDER, "certificate 2 did not issue certificate 1")),
        suspended=tuple(f"cluster-{n}" for n in range(30)),
    ),
    "a renewal": run(
        cluster("dev", row(Action.UPDATE, Reason.CERTIFICATE_RENEWED, old=OLD, new=NEW, applied=True))
    ),
}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            given,
            id=text,
        )
        for text, given in WIDE.items()
    ],
)
def test_terminal_keeps_to_100_columns(given: RunReport) -> None:
    """No line is wider than a terminal, unless names are very long."""
    assert [line for line in terminal.render(given).splitlines() if len(line) > 100] == []


EVIL = "evil.org\x1b[2J\nERROR: forged line"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            run(cluster("dev"), found=snapshot(rejection("x", detail=EVIL))), id="a rejection's detail"
        ),
        pytest.param(
            run(cluster("dev"), found=snapshot(certificate(), warnings=(EVIL,))), id="a warning of OPS"
        ),
        pytest.param(
            run(cluster("dev", row(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail=EVIL))),
            id="the DNS names of a refusal",
        ),
    ],
)
def test_terminal_lets_no_certificate_write_to_it(given: RunReport) -> None:
    """What comes from a certificate neither starts a line of the log nor controls the terminal."""
    text = terminal.render(given)
    assert "\x1b" not in text
    assert not any(line.startswith("ERROR") for line in text.splitlines())


# -- Markdown --------------------------------------------------------------------------------------

MARKDOWN = """\
## ❌ 1 of 3 clusters failed: rct (Unreachable: list secrets in homarr-rct: no connection to the API server \
(HTTP 500) (and 1 more))

| cluster | create | update | keep | refuse | nothing | failures | state |
| --- | --- | --- | --- | --- | --- | --- | --- |
| rct | 0 | 0 | 0 | 1 | 0 | 1 | FAILED |
| dev | 1 | 0 | 2 | 0 | 0 | 0 | ok |
| prd | 0 | 0 | 1 | 0 | 0 | 0 | ok |

### rct

- ❌ **Unreachable**: list secrets in homarr-rct on rct: no connection to the API server (HTTP 500). \
To do: check that the API server runs and that the network lets OPS reach it.

| action | secret | certificate | reason | old | new | why, and what to do |
| --- | --- | --- | --- | --- | --- | --- |
| ❌ refuse | homarr-dev/c-tls | c-tls | OwnedByOther | - | a1a1a1a1 2026-05-20 | \
a Secret of that name exists and is not ours: delete it, hand it over (annotation \
tls-sync.io/adopt: \\<owner\\>), or use another name (route) |

### dev

- ⚠️ clusterId is not pinned; this cluster's is 0c2f

| action | secret | certificate | reason | old | new | why, and what to do |
| --- | --- | --- | --- | --- | --- | --- |
| create | homarr-dev/a-tls | a-tls | MissingOnTarget | - | a1a1a1a1 2026-05-20 | \
the target does not have it yet |
| keep | homarr-dev/d-tls | d-tls | GoneFromSource | b2b2b2b2 2026-03-21 | - | \
it is no longer on OPS: the copy is kept; delete it by hand if nobody needs it |

### OPS: 2 certificates fit to be sent

| rejected | reason | why | what to do |
| --- | --- | --- | --- |
| x-tls | Expired | its notAfter has passed since 2026 | find out why cert-manager does not renew it |

| not issued yet | reason | why | what to do |
| --- | --- | --- | --- |
| n-tls | IssuancePending | cert-manager has yet to issue it: Certificate n-tls, since 2026-03-01 11:55 UTC \
| nothing to do: a run after the issuance sends it; after an hour, or a failed attempt, it is late |
| o-tls | IssuanceLate | cert-manager should have issued it by now: Certificate o-tls, since 2026-03-01 \
11:55 UTC, failed attempts: 1 | see why: \\`cmctl status certificate \\<certificate\\>\\`, or describe \
its Certificate, Order and Challenge on OPS |

| near expiry | left | until | issuer |
| --- | --- | --- | --- |
| old-tls | urgent: 5 days left | 2026-03-06 | R10 |

- 3 Secrets on OPS are not fit to be sent and are not routed
- 1 certificate on OPS is not issued yet and is not routed
- ⚠️ a-tls: not ready
- ⚠️ old-tls: tls.crt holds no issuer
- suspended, so left out: lab"""


def test_markdown_shows_everything_that_needs_a_look() -> None:
    """A whole report, as the UI shows it: failed clusters before those that are well."""
    assert markdown.render_run(BUSY) == MARKDOWN


def test_markdown_of_a_cluster_is_its_own_page() -> None:
    """The artifact of one cluster has its counts and its rows."""
    lines = markdown.render_cluster(cluster("rct", REFUSED)).splitlines()
    assert (lines[0], lines[4]) == ("## ❌ rct", "| rct | 0 | 0 | 0 | 1 | 0 | 0 | FAILED |")
    assert lines[-1].startswith("| ❌ refuse | homarr-dev/c-tls |")


def test_markdown_names_the_only_certificate() -> None:
    """A run for one certificate can't be taken for a run for all."""
    assert f"For the certificate {NAME} only." in markdown.render_run(run(certificate=NAME)).splitlines()


def test_markdown_says_how_many_rows_are_left() -> None:
    """An artifact is cut where a browser would give up, and says so."""
    rows = [row(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n}") for n in range(markdown.MAX_ROWS + 7)]
    text = markdown.render_cluster(cluster("dev", *rows))
    assert text.count("\n| create ") == markdown.MAX_ROWS
    assert text.endswith("\n… and 7 more.")


INJECTIONS = {
    "a link": "[renew](https://evil.org)",
    "an image": "![x](https://evil.org/x.png)",
    "HTML": "<img src=x onerror=alert(1)>",
    "a second cell": "a | b | c",
    "a new line": "a\n# heading",
    "code": "`a` ``b``",
    "emphasis": "**a** __b__ ~~c~~",
    "an escape": "\\| a \\",
}
MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|~]")


def reports_with(text: str) -> list[str]:
    """Markdown with a text from a certificate in each place where there can be one."""
    return [
        markdown.render_run(given)
        for given in (
            run(found=snapshot(certificate(age=85, issuer=text))),
            run(found=snapshot(rejection("x", detail=text))),
            run(found=snapshot(certificate(), warnings=(text,))),
            run(found=snapshot(certificate(warnings=(text,)))),
            run(cluster("dev", row(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail=text))),
            run(cluster("dev", replace(GONE, certificate=text))),
            run(cluster("dev", warnings=(text,))),
            run(cluster("dev", failures=(failure(detail=text),))),
        )
    ]


@pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS)
def test_markdown_lets_no_certificate_add_markup(text: str) -> None:
    """DNS names, issuers, details and warnings are shown as they are written, on one line, in one cell."""
    harmless = re.sub(r"[^\x20-\x7e]", "?", text)
    for evil, plain in zip(reports_with(text), reports_with("x" * len(text)), strict=True):
        assert len(evil.splitlines()) == len(plain.splitlines())
        assert [len(MARKUP.findall(line)) for line in evil.splitlines()] == [
            len(MARKUP.findall(line)) for line in plain.splitlines()
        ]
        assert re.sub(r"\\([\\`*_\[\]<>|~@:.])", r"\1", evil).count(harmless) >= 1


@pytest.mark.parametrize("text", ["https://evil.org/renew", "www.evil.org"])
def test_markdown_makes_no_link_of_a_bare_address(text: str) -> None:
    """An issuer or a DNS name that looks like an address is not made clickable."""
    assert not any(re.search(r"(?<![\\`])(https?://|www\.)", found) for found in reports_with(text))


# -- both ------------------------------------------------------------------------------------------


def test_a_new_column_is_one_line_of_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminal and Markdown show each column of the list, at its place, unless the column says otherwise."""
    uid = report.Column("uid", lambda change, cluster: f"{change.uid} on {cluster.cluster}")
    monkeypatch.setattr(report, "COLUMNS", (*report.COLUMNS[:2], uid, *report.COLUMNS[2:]))
    given = run(cluster("dev", replace(UPDATED, uid="7f")))
    lines = terminal.render(given).splitlines()
    assert [line.split()[:5] for line in lines[6:8]] == [
        ["action", "secret", "uid", "reason", "old"],
        ["update", "homarr-dev/b-tls", "7f", "on", "dev"],
    ]
    text = markdown.render_run(given)
    assert "| action | secret | uid | certificate | reason | old | new | why, and what to do |" in text
    assert "| update | homarr-dev/b-tls | 7f on dev | b-tls | CertificateRenewed |" in text


@pytest.mark.parametrize("render", [terminal.render, markdown.render_run], ids=["the terminal", "Markdown"])
def test_report_is_the_same_text_for_the_same_facts(render: Any) -> None:
    """The same facts, also after a trip through JSON and with rows in another order, give the same text."""
    again = RunReport.model_validate(BUSY.model_dump(mode="json"))
    turned = [c.model_copy(update={"changes": c.changes[::-1]}) for c in BUSY.clusters]
    assert render(BUSY) == render(again) == render(BUSY.model_copy(update={"clusters": tuple(turned)}))


def test_terminal_shows_failed_clusters_first() -> None:
    """In a log, too, the cluster that needs a person comes before those that don't."""
    text = terminal.render(run(cluster("dev", CREATED), cluster("rct", REFUSED)))
    assert text.index("\nrct\n") < text.index("\ndev\n")


@pytest.mark.parametrize("render", [terminal.render, markdown.render_run], ids=["the terminal", "Markdown"])
def test_report_survives_an_empty_run(render: Any) -> None:
    """A run that could not read OPS has no clusters, and still says why."""
    text = render(run(found=SourceSnapshot(failure=failure("ops", FailureCode.TIMEOUT)), suspended=("lab",)))
    assert "OPS can't be read: Timeout: list secrets in homarr-rct" in text.replace("\n  ", " ")


def test_report_moves_with_the_clock_of_the_run() -> None:
    """What is near its end depends on the moment of the run alone."""
    given = run(cluster("dev"), found=snapshot(certificate(age=10)))
    later = given.model_copy(update={"now": NOW + timedelta(days=60)})
    assert "near expiry" not in verdict.run_verdict(given).message
    assert verdict.run_verdict(later).message.endswith("1 near expiry")
