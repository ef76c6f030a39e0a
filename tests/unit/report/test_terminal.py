"""A run's report in a terminal and in the log."""

import pytest

from tasks.domain.models import Action, RunReport
from tasks.domain.reasons import Reason
from tasks.report import rows, terminal
from tests.support.factories import (
    certificate,
    change,
    cluster_report,
    failure,
    rejection,
    run_report,
    snapshot,
)
from tests.support.report_example import CREATED, EXAMPLE, NEW, OLD, PENDING, REFUSED

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
    since 2026-03-01 11:55 UTC, failed attempts: 1): see why: `cmctl status certificate NAME`, or
    describe its Certificate, Order and Challenge on OPS
  not issued n-tls: IssuancePending: cert-manager has not issued it yet (Certificate n-tls, since
    2026-03-01 11:55 UTC): nothing to do: a run after the issuance sends it; after an hour, or a
    failed attempt, it is late
  expiring old-tls: urgent: 5 days left (until 2026-03-06)
  3 Secrets on OPS are not fit to be sent and are not routed
  1 certificate on OPS is not issued yet and is not routed
  warning: a-tls: not ready
  warning: old-tls: tls.crt holds no issuer
  suspended, so left out: lab"""


def test_terminal_shows_the_whole_report() -> None:
    """The text has the verdict, the overview, failures, rows, warnings and the state of OPS."""
    assert terminal.render(EXAMPLE) == TERMINAL


def test_terminal_is_short_when_all_is_in_sync() -> None:
    """The report of a run with nothing to do is the verdict and the overview."""
    assert terminal.render(run_report(cluster_report("dev", change()))).splitlines() == [
        "tls-sync: 1 cluster: keep 1",
        "",
        "cluster  create  update  keep  refuse  nothing  failures  state",
        "dev      0       0       1     0       0        0         ok",
    ]


def test_terminal_says_that_it_was_a_dry_run() -> None:
    """The first line of a dry run's report says that nothing was written."""
    first = terminal.render(run_report(cluster_report("dev", dry_run=True), dry_run=True)).splitlines()[0]
    assert first == "tls-sync (dry run): 1 cluster: dry run, nothing written: nothing to do"


def test_terminal_says_since_when_an_issuance_is_pending() -> None:
    """A pending issuance has its sentence, although the row has not failed."""
    lines = terminal.render(run_report(cluster_report("dev", PENDING))).splitlines()
    assert lines[7].split()[:3] == ["nothing", "homarr-dev/n-tls", "IssuancePending"]
    told = "cert-manager has not issued it yet (Certificate n-tls, since noon):"
    assert lines[8] == f"  homarr-dev/n-tls: {told} nothing to"


def test_terminal_says_how_many_rows_are_left() -> None:
    """The log has the first rows of each cluster, failed ones first, and counts the others."""
    many = [change(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n:02}", applied=True) for n in range(25)]
    lines = terminal.render(run_report(cluster_report("dev", *many, REFUSED))).splitlines()
    shown = [line.split()[1] for line in lines if line.startswith(("  create", "  refuse"))]
    assert shown == ["homarr-dev/c-tls", *(f"homarr-dev/t-{n:02}" for n in range(rows.LOG_ROWS - 1))]
    assert "  … and 6 more rows: see the run's artifact" in lines


def test_terminal_mentions_no_more_rows_when_all_are_shown() -> None:
    """With exactly LOG_ROWS rows, no row is counted as left out."""
    many = [change(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n:02}") for n in range(rows.LOG_ROWS)]
    assert "more rows" not in terminal.render(run_report(cluster_report("dev", *many)))


LONG = "a-long-name-of-a-certificate"
WIDE = {
    "creates and refusals": run_report(cluster_report("dev", CREATED, REFUSED)),
    "a sentence of 101 columns": run_report(cluster_report("dev", warnings=(f"{'x' * 44} {'y' * 45}",))),
    "long sentences": run_report(
        cluster_report(
            "dev",
            change(
                Action.REFUSE,
                Reason.HOSTNAME_NOT_ALLOWED,
                detail=", ".join(f"h{n}.example.org" for n in range(30)),
            ),
            warnings=("a warning " * 30,),
        ),
        cluster_report("rct", failures=(failure(detail="pinned " + "0c2f" * 9 + ", found " + "9e1d" * 9),)),
        snapshot=snapshot(rejection(LONG, Reason.CHAIN_ORDER, "certificate 2 did not issue certificate 1")),
        suspended=tuple(f"cluster-{n}" for n in range(30)),
    ),
    "a renewal": run_report(
        cluster_report(
            "dev", change(Action.UPDATE, Reason.CERTIFICATE_RENEWED, old=OLD, new=NEW, applied=True)
        )
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
            run_report(cluster_report("dev"), snapshot=snapshot(rejection("x", detail=EVIL))),
            id="a rejection's detail",
        ),
        pytest.param(
            run_report(cluster_report("dev"), snapshot=snapshot(certificate(), warnings=(EVIL,))),
            id="a warning of OPS",
        ),
        pytest.param(
            run_report(
                cluster_report("dev", change(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail=EVIL))
            ),
            id="the DNS names of a refusal",
        ),
    ],
)
def test_text_of_a_certificate_does_not_control_the_terminal(given: RunReport) -> None:
    """Text of a certificate starts no line of the log and contains no escape sequence."""
    text = terminal.render(given)
    assert "\x1b" not in text
    assert not any(line.startswith("ERROR") for line in text.splitlines())


def test_terminal_shows_failed_clusters_first() -> None:
    """A failed cluster comes before the others."""
    text = terminal.render(run_report(cluster_report("dev", CREATED), cluster_report("rct", REFUSED)))
    assert text.index("\nrct\n") < text.index("\ndev\n")
