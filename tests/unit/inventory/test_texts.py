"""A survey as a table, as Markdown and as JSON: all of it is told, the worst first, and it fits."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.inventory import document as survey_json
from tasks.inventory import summary
from tasks.inventory import table as survey_text
from tasks.inventory.model import InventoryReport, Served, ServedMatch, Status
from tests.support import factories
from tests.support.factories import NOW
from tests.support.inventory_example import example, placement

SOURCE = factories.certificate()
LONG = f"{'long-' * 48}tls"
HOSTILE = "x|[a](http://b)<img src=q onerror=alert(1)>\x1b[31m\n| y"


def survey(*rows: Any, **values: Any) -> InventoryReport:
    return InventoryReport(**{"now": NOW, "placements": rows, "certificates": (SOURCE,), **values})


def in_sync(**values: Any) -> Any:
    return placement(SOURCE, "dev", Status.IN_SYNC, **values)


def served(likeness: ServedMatch) -> Served:
    return Served(address="ingress.example.org", likeness=likeness, detail="a detail")


DOWN = Failure(code=FailureCode.UNREACHABLE, cluster="OPS", what="list secrets in certificates-ops")


@pytest.mark.parametrize(
    ("given", "ok", "message"),
    [
        (survey(in_sync()), True, "1 copy of 1 certificate, all in sync"),
        (
            survey(in_sync(), placement(SOURCE, "rct", Status.STALE)),
            False,
            "1 of 2 copies not in sync (stale 1)",
        ),
        (
            survey(in_sync(served=(served(ServedMatch.OLDER),))),
            False,
            "1 copy of 1 certificate, all in sync; 1 served otherwise than stored",
        ),
        (
            survey(in_sync(served=(served(ServedMatch.NONE),))),
            True,
            "1 copy of 1 certificate, all in sync; 1 served unknown",
        ),
        (survey(failure=DOWN), False, "OPS can't be read (Unreachable)"),
        (survey(), True, "no copy is wanted, and none is there"),
        (
            survey(in_sync(), placement(SOURCE, "rct", Status.ORPHANED), suspended=("prd",)),
            True,
            "2 copies of 1 certificate, all in sync; suspended: prd",
        ),
    ],
)
def test_the_verdict_is_one_line(given: InventoryReport, ok: bool, message: str) -> None:
    """What is not as it should be, and how much of it; an address without an answer fails nothing."""
    found = summary.verdict(given)
    assert (found.ok, found.message) == (ok, f"inventory: {message}")


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    """No line is longer than the terminal is wide, and every row keeps name, place, status and days."""
    given = example(12)
    lines = survey_text.render(given, width).splitlines()
    assert max(map(len, lines)) <= width
    for one in given.placements:
        assert any(
            line.startswith(one.certificate) and f"  {one.namespace} " in line and f"  {one.status} " in line
            for line in lines
        )


def test_a_wider_terminal_shows_more() -> None:
    """Up to the serial number in full, which is what people compare."""
    given = example(3)
    tables = [survey_text.render(given, width) for width in (80, 200)]
    titles = [table.split("certificate  ")[1].split("\n")[0] for table in tables]
    assert "until" in titles[0]
    assert "serial of the copy" not in titles[0]
    assert "serial of the copy" in titles[1]
    assert given.certificates[1].serial in survey_text.render(given, 200)


def test_names_too_long_are_shortened_in_their_middle() -> None:
    """On a terminal; in a file or a pipe they are whole."""
    long = factories.certificate(LONG)
    given = survey(placement(long, "dev", Status.IN_SYNC, namespace="a" * 63), certificates=())
    lines = survey_text.render(given, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "long-" in lines[-1]
    assert "…" in lines[-1]
    assert LONG in survey_text.render(given)
    assert survey_text.shortened("abcdefghij", 5) == "ab…ij"
    assert survey_text.shortened("abcde", 5) == "abcde"


def test_what_a_person_has_to_do_is_told_below_the_table() -> None:
    """The remedy of a refusal, the failure of a cluster, what is served, rejected, near its end."""
    text = survey_text.render(example(10))
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


def test_the_log_has_what_needs_someone_and_a_limit() -> None:
    """A thousand copies in sync are no thousand lines."""
    text = survey_text.render(example(300), 100, rows=20)
    table = text.split("\n\n")[1].splitlines()
    assert len(table) == 21
    assert "in sync" not in "".join(table)
    assert "more rows: see the run's artifact" in text


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
def test_an_age_is_told_in_its_largest_unit(since: timedelta, expected: str) -> None:
    """A clock that is ahead makes it zero, and nothing negative."""
    assert summary.age(in_sync(written=NOW - since), NOW) == expected


def test_certificates_that_go_nowhere_are_named() -> None:
    """Some of them, with how many more there are."""
    there = tuple(factories.certificate(f"nowhere-{number}-tls") for number in range(25))
    (note,) = [n for n in summary.notes(survey(certificates=there)) if "nowhere else" in n]
    assert "nowhere-0-tls" in note
    assert note.endswith("and 5 more")


def test_the_artifact_has_the_matrix_and_every_copy() -> None:
    """Certificate x cluster, then a row for each copy, the worst first."""
    text = survey_text.render_markdown(example(3))
    assert "| certificate | dev | rct | prd |" in text
    assert "| headlamp-tls | ✓ in sync 2/2 | ⊘ foreign | ? unknown |" in text
    copies = text.split("### Copies")[1].splitlines()
    assert copies[4].startswith("| ✗ refused | homarr-tls |")
    assert len([line for line in copies if line.startswith("| ")]) == 2 + 3 * 3 + 2


def test_the_artifact_stays_small() -> None:
    """However many copies with however long names: what has no place is counted."""
    many = tuple(
        placement(factories.certificate(f"{number:04}{LONG[4:]}"), "dev", Status.REFUSED)
        for number in range(3000)
    )
    text = survey_text.render_markdown(survey(*many, certificates=()))
    assert len(text) < 260_000
    assert "more: `python -m flows --inventory` shows all." in text


def test_no_name_becomes_markup() -> None:
    """Whatever stands in a certificate is text, on one line."""
    row = placement(SOURCE, "dev", Status.REFUSED, detail=HOSTILE, certificate=HOSTILE)
    given = survey(row, warnings=(HOSTILE,))
    for text in (survey_text.render(given), survey_text.render_markdown(given)):
        assert "\x1b" not in text
    assert "<img" not in survey_text.render_markdown(given).replace("\\<", "")
    assert "\n| y" not in survey_text.render_markdown(given)


KEYS = {
    "": "schemaVersion takenAt ok message counts ops clusters suspended certificates rejections "
    "issuances unrouted placements",
    "ops": "failure warnings",
    "clusters": "name failures warnings",
    "certificates": "name namespace fingerprint x509Sha256 serial issuer keys keysThatStayOnOps dnsNames "
    "notBefore notAfter daysLeft renewalDue expiry copies",
    "rejections": "name reason detail",
    "issuances": "name certificate reason since failedAttempts detail",
    "unrouted": "rejections issuances",
    "placements": "certificate cluster namespace secret status ok reason detail remedy copy writtenAt onOps "
    "served",
    "placements.copy": "fingerprint serial notBefore notAfter daysLeft",
    "placements.onOps": "fingerprint serial notBefore notAfter daysLeft",
    "placements.served": "address name likeness serial notAfter detail",
    "clusters.failures": "code cluster what detail remedy",
}


def at(document: Any, path: str) -> list[Any]:
    """All that stands at a path, lists taken apart."""
    found = [document]
    for key in filter(None, path.split(".")):
        found = [one[key] for one in found if one[key] is not None]
        found = [one for value in found for one in (value if isinstance(value, list) else [value])]
    return found


@pytest.mark.parametrize("path", KEYS)
def test_the_document_keeps_its_form(path: str) -> None:
    """Programs rely on these keys: where one has to go or to change, schemaVersion changes with it."""
    document = json.loads(json.dumps(survey_json.document(example(10))))
    assert document["schemaVersion"] == 1
    found = at(document, path)
    assert found
    assert {" ".join(one) for one in found} == {KEYS[path]}


def test_the_document_has_the_values() -> None:
    """Of one copy that is stale, all facts; of one that is missing, null."""
    document = survey_json.document(survey(placement(SOURCE, "dev", Status.STALE), failure=DOWN))
    (row,) = document["placements"]
    assert (row["status"], row["ok"], row["reason"]) == ("stale", False, "CertificateRenewed")
    assert row["copy"]["serial"] == "01d"
    assert row["copy"]["daysLeft"] == 20
    assert row["onOps"]["daysLeft"] == 80
    assert document["certificates"][0]["renewalDue"] == "2026-04-20T12:00:00+00:00"
    assert document["ops"]["failure"]["code"] == "Unreachable"
    missing = survey_json.document(survey(placement(SOURCE, "dev", Status.MISSING)))["placements"][0]
    assert (missing["copy"], missing["writtenAt"]) == (None, None)


def test_every_status_has_a_mark_of_its_own() -> None:
    """So that none needs a colour to be told from another."""
    assert len(set(summary.MARKS.values())) == len(Status) == len(summary.MARKS)
