"""Where Certificates ask that their Secrets be copied: what counts of their annotation, and what is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.schema import Source
from tasks.domain.annotations import REQUEST
from tasks.domain.models import CopyRequest
from tasks.domain.names import is_namespace
from tasks.source.requests import MAX_ENTRIES, MAX_LENGTH, Requests, parse
from tasks.source.statuses import add_certificate, empty_statuses
from tests.support.factories import SOURCE_NAMESPACE, law

LONGEST = ("c" * 63, "n" * 61)


def certificate(
    to: Any = None, name: str = "web", secret: str = "web-tls", **template: Any
) -> dict[str, Any]:
    annotations = {} if to is None else {REQUEST: to}
    spec = {"secretName": secret, "secretTemplate": {"annotations": annotations, **template}}
    return {"metadata": {"name": name}, "spec": spec}


def found(*certificates: object) -> tuple[CopyRequest, ...]:
    requests = Requests()
    for one in certificates:
        requests.add(one)
    return requests.found()


SOUND = {
    "dev/web": ("dev/web",),
    "dev/web, rct/web": ("dev/web", "rct/web"),
    " dev/web ,rct/web\n": ("dev/web", "rct/web"),
    "dev/web,dev/web": ("dev/web",),
    "": (),
    "  ": (),
    ",".join(f"c{number}/web" for number in range(MAX_ENTRIES)): tuple(
        f"c{number}/web" for number in range(MAX_ENTRIES)
    ),
    ", ".join(
        "/".join((cluster, f"{namespace}{n:02d}")) for n in range(100) for cluster, namespace in [LONGEST]
    ): tuple(
        "/".join((cluster, f"{namespace}{n:02d}")) for n in range(100) for cluster, namespace in [LONGEST]
    ),
}


@pytest.mark.parametrize("text", SOUND, ids=range(len(SOUND)))
def test_places_are_separated_by_commas(text: str) -> None:
    """Spaces count for nothing, nor does a place that is named twice; the longest names fit."""
    assert found(certificate(text)) == (
        CopyRequest(secret="web-tls", certificates=("web",), asked=SOUND[text]),
    )


def test_the_longest_annotation_is_read() -> None:
    """The limit itself is allowed; one character more is not."""
    assert parse("dev/web".ljust(MAX_LENGTH)) == (("dev/web",), "")
    assert parse("dev/web".ljust(MAX_LENGTH + 1))[1]


@pytest.mark.parametrize("name", [None, 7, "Not A Name"])
def test_a_certificate_without_a_name_has_that_of_its_secret(name: object) -> None:
    """What is shown of it is a name in any case."""
    nameless = certificate("dev/web")
    nameless["metadata"]["name"] = name
    assert [one.certificates for one in found(nameless)] == [("web-tls",)]


UNSOUND: dict[str, tuple[Any, str]] = {
    "no namespace": ("dev", "its entry 1 is not cluster/namespace"),
    "an empty entry": ("dev/web,", "its entry 2 is not cluster/namespace"),
    "three parts": ("dev/web/tls", "its entry 1 is not cluster/namespace"),
    "a glob": ("dev/web, */web", "its entry 2 is not cluster/namespace"),
    "upper case": ("Dev/web", "its entry 1 is not cluster/namespace"),
    "a dot": ("dev/web.example", "its entry 1 is not cluster/namespace"),
    "what can't be seen": ("dev/we\u202eb", "its entry 1 is not cluster/namespace"),
    "what a terminal obeys": ("\x1b[2J", "its entry 1 is not cluster/namespace"),
    "too many": (",".join(["dev/web"] * 101), "it has 101 entries, at most 100 are allowed"),
    "too long": ("x" * 13_001, "it is longer than 13,000 characters"),
    "a number": (1, "it is not text"),
    "a list": (["dev/web"], "it is not text"),
}


@pytest.mark.parametrize(("text", "fault"), UNSOUND.values(), ids=UNSOUND)
def test_what_can_not_be_used_asks_for_nothing(text: Any, fault: str) -> None:
    """Not even for what is sound in it: a typo is told, and nothing is guessed."""
    assert found(certificate(text)) == (CopyRequest(secret="web-tls", certificates=("web",), fault=fault),)


@law
@given(st.text() | st.text("dev/, -\n", max_size=20))
def test_a_fault_shows_nothing_of_the_text(text: str) -> None:
    """Whatever somebody writes there, what is read of it are names, or a sentence of ours."""
    asked, fault = parse(text)
    assert not (asked and fault)
    assert len(asked) <= MAX_ENTRIES
    assert all(all(map(is_namespace, place.split("/"))) and place.count("/") == 1 for place in asked)
    assert fault.isprintable()
    assert len(fault) < 60
    assert len(text) <= MAX_LENGTH or fault


def test_only_the_template_of_a_certificate_is_read() -> None:
    """An annotation of the Certificate itself, or a label, asks for nothing."""
    own = certificate()
    own["metadata"]["annotations"] = {REQUEST: "dev/web"}
    assert found(own, certificate(labels={REQUEST: "dev/web"}, secret="b")) == ()


def test_each_certificate_that_writes_a_secret_is_named() -> None:
    """Also one that asks for nothing: which of them the Secret is from, nobody can tell."""
    both = certificate("dev/web", "b"), certificate(None, "a")
    assert [one.certificates for one in found(*both)] == [("a", "b")]
    assert [one.certificates for one in found(*reversed(both))] == [("a", "b")]
    assert found(certificate(None, "a"), certificate(None, "b")) == ()


JUNK: tuple[object, ...] = (
    None,
    1,
    "x",
    [],
    {},
    {"spec": None},
    {"spec": {"secretName": "A"}},
    {"spec": {"secretName": ["x"]}},
)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_what_is_no_certificate_is_passed_over(junk: object) -> None:
    """The others are read all the same."""
    assert [one.secret for one in found(junk, certificate("dev/web"))] == ["web-tls"]


def test_requests_are_read_with_the_statuses() -> None:
    """No request to OPS is made for them; where nobody may ask for anything, they are not even parsed."""
    statuses = empty_statuses()
    source = Source(namespace=SOURCE_NAMESPACE)
    add_certificate(statuses, certificate("dev/web"), source)
    assert statuses.requests.found() == ()
    add_certificate(statuses, certificate("dev/web"), source, with_requests=True)
    assert [one.asked for one in statuses.requests.found()] == [("dev/web",)]
