"""An inventory as a table, as Markdown and as JSON."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.models import Served, ServedMatch
from tasks.domain.reasons import Reason
from tasks.inventory import summary, table
from tasks.inventory.document import document
from tasks.inventory.model import CopyState, InventoryReport, Status
from tests.support import factories
from tests.support.factories import NOW
from tests.support.inventory_example import copy_state, example

SOURCE = factories.certificate()
LONG = f"{'long-' * 48}tls"
HOSTILE = "x|[a](http://b)<img src=q onerror=alert(1)>\x1b[31m\n| y"


def report(*copies: CopyState, **values: Any) -> InventoryReport:
    return InventoryReport(**{"now": NOW, "copies": copies, "snapshot": factories.snapshot(SOURCE), **values})


def in_sync(**values: Any) -> CopyState:
    return copy_state(SOURCE, "dev", Status.IN_SYNC, **values)


def served(match: ServedMatch) -> Served:
    return Served(address="ingress.example.org", match=match, detail="a detail")


DOWN = factories.failure(cluster="OPS", what="list secrets in certificates-ops")


@pytest.mark.parametrize(
    ("given", "ok", "message"),
    [
        (report(in_sync()), True, "1 copy of 1 certificate, all in sync"),
        (
            report(in_sync(), copy_state(SOURCE, "rct", Status.STALE)),
            False,
            "1 of 2 copies not in sync (stale 1)",
        ),
        (
            report(in_sync(served=(served(ServedMatch.OLDER),))),
            False,
            "1 copy of 1 certificate, all in sync; 1 served otherwise than stored",
        ),
        (
            report(in_sync(served=(served(ServedMatch.NONE),))),
            True,
            "1 copy of 1 certificate, all in sync; 1 served unknown",
        ),
        (report(snapshot=factories.snapshot(failure=DOWN)), False, "OPS can't be read (Unreachable)"),
        (report(), True, "no copy is wanted, and none is there"),
        (
            report(in_sync(), copy_state(SOURCE, "rct", Status.ORPHANED), suspended=("prd",)),
            True,
            "2 copies of 1 certificate, all in sync; suspended: prd",
        ),
    ],
)
def test_the_verdict_is_one_line(given: InventoryReport, ok: bool, message: str) -> None:
    """The verdict counts what is not in sync; an address that does not answer fails nothing."""
    found = summary.inventory_verdict(given)
    assert (found.ok, found.message) == (ok, f"inventory: {message}")


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    """No line is wider than the terminal; each row keeps name, namespace and status."""
    given = example(12)
    lines = table.render(given, width).splitlines()
    assert max(map(len, lines)) <= width
    for one in given.copies:
        assert any(
            line.startswith(one.certificate) and f"  {one.namespace} " in line and f"  {one.status} " in line
            for line in lines
        )


def test_a_wider_terminal_shows_more() -> None:
    """The widest terminal also shows the serial number in full."""
    given = example(3)
    texts = [table.render(given, width) for width in (80, 200)]
    titles = [text.split("certificate  ")[1].split("\n")[0] for text in texts]
    assert "until" in titles[0]
    assert "serial of the copy" not in titles[0]
    assert "serial of the copy" in titles[1]
    assert given.snapshot.certificates[1].serial in table.render(given, 200)


def test_long_names_are_shortened_in_their_middle() -> None:
    """Names are shortened in a terminal, and are complete in a file or a pipe."""
    long = factories.certificate(LONG)
    given = report(copy_state(long, "dev", Status.IN_SYNC, namespace="a" * 63), snapshot=factories.snapshot())
    lines = table.render(given, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "long-" in lines[-1]
    assert "…" in lines[-1]
    assert LONG in table.render(given)
    assert table.shortened("abcdefghij", 5) == "ab…ij"
    assert table.shortened("abcde", 5) == "abcde"


def test_below_the_table_is_what_a_person_has_to_do() -> None:
    """Remedies, failures of clusters, what is served, rejections and expiries are below the table."""
    text = table.render(example(10))
    for words in (
        "headlamp-tls in rct, headlamp: foreign\n  OwnedByOther: a Secret of that name exists",
        "prd: Unreachable: get namespace kube-system",
        "ingress.dev.example.org as web.dev.example.org: older",
        "ingress.dev.example.org: no answer: connection refused",
        "rejected on OPS: expired-tls: Expired",
        "expiring: ",
        "suspended, so left out: test",
    ):
        assert words in text


def test_the_log_begins_with_copies_that_are_not_ok() -> None:
    """With `rows`, the table has at most that many rows, the worst of many copies."""
    text = table.render(example(300), 100, rows=20)
    lines = text.split("\n\n")[1].splitlines()
    assert len(lines) == 21
    assert "in sync" not in "".join(lines)
    assert "more rows: see the run's artifact" in text


def test_the_log_of_an_inventory_in_sync_has_its_rows() -> None:
    """Where all is well, the table has the copies; one that is served otherwise than stored comes first."""
    copies = tuple(in_sync(namespace=f"app-{number}") for number in range(3))
    served = Served(address="web:443", match=ServedMatch.OTHER)
    last = in_sync(namespace="app-9", served=(served,))
    report = example().model_copy(update={"copies": (*copies, last)})
    header, *lines = table.render(report, 100, rows=3).split("\n\n")[1].splitlines()
    assert header.startswith("certificate")
    assert [line.split()[2] for line in lines] == ["app-9", "app-0", "app-1"]
    assert "… and 1 more row: see" in table.render(report, 100, rows=3)
    assert "more rows" not in table.render(report, 100, rows=20)


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (timedelta(seconds=5), "5 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=400), "400 d"),
        (timedelta(days=-1), "0 s"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(since: timedelta, expected: str) -> None:
    """A time in the future has age zero."""
    assert summary.age(in_sync(written_at=NOW - since), NOW) == expected


def test_certificates_that_go_nowhere_are_named() -> None:
    """The first certificates without copies are named, the others counted."""
    there = factories.snapshot(*(factories.certificate(f"nowhere-{number}-tls") for number in range(25)))
    (note,) = [n for n in summary.notes(report(snapshot=there)) if "nowhere else" in n]
    assert "nowhere-0-tls" in note
    assert note.endswith("and 5 more")


def test_the_artifact_has_the_matrix_and_every_copy() -> None:
    """The artifact has the worst status per certificate and cluster, then a row for each copy."""
    text = table.render_markdown(example(3))
    assert "| certificate | dev | rct | prd |" in text
    assert "| headlamp-tls | ✓ in sync 2/2 | ⊘ foreign | ? unknown |" in text
    copies = text.split("### Copies")[1].splitlines()
    assert copies[4].startswith("| ✗ refused | homarr-tls |")
    assert len([line for line in copies if line.startswith("| ")]) == 2 + 3 * 3 + 2


def test_what_to_do_is_not_at_the_edge_of_the_artifact() -> None:
    """It stands after the names, before the facts: a browser cuts off or scrolls what is to the right."""
    header, _, *rows = table.render_markdown(example(3)).split("### Copies\n\n")[1].splitlines()
    assert header.startswith("| status | certificate | cluster | namespace | why, and what to do | left |")
    assert Reason.IMMUTABLE.remedy in rows[0].split(" | ")[4]


def test_the_artifact_stays_small() -> None:
    """Beyond its maximum size the artifact counts the rows that are left out."""
    many = tuple(
        copy_state(factories.certificate(f"{number:04}{LONG[4:]}"), "dev", Status.REFUSED)
        for number in range(3000)
    )
    text = table.render_markdown(report(*many, snapshot=factories.snapshot()))
    assert len(text) < 260_000
    assert "more: `tls-sync inventory` shows all." in text


def test_no_name_becomes_markup() -> None:
    """Text of a certificate is escaped, and stays on one line."""
    row = copy_state(SOURCE, "dev", Status.REFUSED, detail=HOSTILE, certificate=HOSTILE)
    given = report(row, snapshot=factories.snapshot(SOURCE, warnings=(HOSTILE,)))
    for text in (table.render(given), table.render_markdown(given)):
        assert "\x1b" not in text
    assert "<img" not in table.render_markdown(given).replace("\\<", "")
    assert "\n| y" not in table.render_markdown(given)


KEYS = {
    "": "schemaVersion takenAt ok message counts ops clusters suspended discovery certificates rejections "
    "issuances refusedRequests unrouted placements",
    "ops": "failure warnings",
    "clusters": "name failures warnings",
    "certificates": "name namespace fingerprint x509Sha256 serial issuer keys keysThatStayOnOps dnsNames "
    "notBefore notAfter daysLeft renewalDue expiry copies",
    "rejections": "name reason detail",
    "issuances": "name certificate reason since failedAttempts detail",
    "refusedRequests": "name reason detail",
    "unrouted": "rejections issuances",
    "placements": "certificate cluster namespace secret status ok reason detail remedy copy writtenAt onOps "
    "served keys unverifiedKeys",
    "placements.copy": "fingerprint serial notBefore notAfter daysLeft",
    "placements.onOps": "fingerprint serial notBefore notAfter daysLeft",
    "placements.served": "address name likeness serial notAfter detail",
    "clusters.failures": "code cluster what detail remedy",
}


def at(given: Any, path: str) -> list[Any]:
    """Return all values at a path, through lists."""
    found = [given]
    for key in filter(None, path.split(".")):
        found = [one[key] for one in found if one[key] is not None]
        found = [one for value in found for one in (value if isinstance(value, list) else [value])]
    return found


@pytest.mark.parametrize("path", KEYS)
def test_the_document_keeps_its_form(path: str) -> None:
    """Programs rely on these keys: if one is removed or changes its meaning, schemaVersion changes."""
    shown = example(10)
    snapshot = shown.snapshot.changed(refused_requests=(factories.refused_request(),))
    given = json.loads(json.dumps(document(shown.model_copy(update={"snapshot": snapshot}))))
    assert given["schemaVersion"] == 1
    found = at(given, path)
    assert found
    assert {" ".join(one) for one in found} == {KEYS[path]}


def test_the_document_has_the_values() -> None:
    """A stale copy has all its facts; a missing one has null."""
    snapshot = factories.snapshot(SOURCE, failure=DOWN)
    found = document(report(copy_state(SOURCE, "dev", Status.STALE), snapshot=snapshot))
    (row,) = found["placements"]
    assert (row["status"], row["ok"], row["reason"]) == ("stale", False, "CertificateRenewed")
    assert row["copy"]["serial"] == "01d"
    assert row["copy"]["daysLeft"] == 20
    assert row["onOps"]["daysLeft"] == 80
    assert found["certificates"][0]["renewalDue"] == "2026-04-20T12:00:00+00:00"
    assert found["ops"]["failure"]["code"] == "Unreachable"
    missing = document(report(copy_state(SOURCE, "dev", Status.MISSING)))["placements"][0]
    assert (missing["copy"], missing["writtenAt"]) == (None, None)


def test_every_status_has_a_mark_of_its_own() -> None:
    """The marks differ, so that no status needs a colour."""
    assert len(set(summary.MARKS.values())) == len(Status) == len(summary.MARKS)
