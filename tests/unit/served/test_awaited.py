"""Which addresses are to present which certificate, and how that decides."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.config.load import parse_config
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    ClusterReport,
    ListedSecret,
    ManagedKeys,
    SecretRef,
    Served,
    ServedCopy,
    ServedMatch,
    TargetSecret,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.plan.spec import SyncSpec, specs_for
from tasks.report.served import not_served_reason
from tasks.served import awaited
from tasks.served.compare import ServedCertificate, TLSProbe
from tests.support.factories import NOW, SOURCE_NAMESPACE, certificate, change, snapshot, target_secret

ADDRESS, NAME = "ingress.dev.example.org", "homarr.dev.example.org"
PROBE = TLSProbe(ADDRESS, NAME)
SOURCE = certificate("web-tls", leaf="aa", serial="5eed", dns_names=(NAME,))
LISTED = ListedSecret(
    ref=SecretRef(namespace=SOURCE_NAMESPACE, name="web-tls"),
    uid="uid",
    resource_version="7",
    dns_names=(NAME,),
)
WRITTEN = datetime(2026, 2, 1, 12, tzinfo=UTC)
COPY = target_secret(SOURCE, namespace="app-a", managed=ManagedKeys(written=WRITTEN.isoformat()))
KEPT = change(Action.KEEP, Reason.IN_SYNC, "web-tls", namespace="app-a", old=SOURCE.version)
UPDATED = change(
    Action.UPDATE,
    Reason.CERTIFICATE_RENEWED,
    "web-tls",
    namespace="app-a",
    new=SOURCE.version,
    old=certificate(content="b2", age=70).version,
    applied=True,
)


def spec(entry: Certificate | ListedSecret = SOURCE, *, dry_run: bool = False, **settings: Any) -> SyncSpec:
    """DEV of wave 1; PRD follows in wave 2."""
    route = {"certificates": ["web-*"], "namespaces": ["app-a"], "served": settings.pop("served", [ADDRESS])}
    clusters = [
        {"name": name, "context": name, "wave": wave, "hostnames": ["*.example.org"], "routes": [route]}
        for name, wave in (("dev", 1), ("prd", settings.pop("last", 2)))
    ]
    document = {
        "owner": "ops",
        "source": {"namespace": SOURCE_NAMESPACE},
        "clusters": clusters,
        "waves": {"verify": settings.pop("verify", "served")},
    }
    config = parse_config(document)
    return specs_for(config, config.clusters, snapshot(entry), RunParameters(dry_run=dry_run))[0]


def found(
    of: SyncSpec | None = None, *rows: Change, copy: TargetSecret | None = COPY
) -> tuple[ServedCopy, ...]:
    there = {copy.ref: copy} if copy else {}
    return awaited.served_copies(of or spec(), rows or (KEPT,), there, NOW)


def report(*copies: ServedCopy) -> ClusterReport:
    return ClusterReport(cluster="dev", served=copies)


def leaf(sha256: str = "aa", serial: str = "5eed", age: float = 10) -> ServedCertificate:
    begin = NOW - timedelta(days=age)
    return ServedCertificate(sha256, serial, (NAME,), begin, begin + timedelta(days=90))


def looked(*copies: ServedCopy, **presents: Any) -> ClusterReport:
    results = {PROBE: presents.get("result", leaf())}
    (one,) = awaited.with_results([report(*copies)], results)
    return one


@pytest.mark.parametrize("row", [KEPT, UPDATED], ids=["in sync", "written"])
def test_an_address_is_to_present_what_is_stored(row: Change) -> None:
    """That of a copy in sync, and that of a copy that this run has written."""
    (one,) = found(None, row)
    assert (one.address, one.name, one.certificate, str(one.target)) == (
        ADDRESS,
        NAME,
        "web-tls",
        "app-a/web-tls",
    )
    assert (one.leaf, one.serial, one.not_before) == ("aa", "5eed", SOURCE.version.not_before)
    assert one.since == (NOW if row is UPDATED else WRITTEN)


@pytest.mark.parametrize(
    "row",
    [
        change(Action.REFUSE, Reason.OWNED_BY_OTHER, "web-tls", namespace="app-a", old=SOURCE.version),
        change(Action.KEEP, Reason.GONE_FROM_SOURCE, "web-tls", namespace="app-a", old=SOURCE.version),
        change(Action.UPDATE, Reason.DRIFTED, "web-tls", namespace="app-a", old=SOURCE.version),
    ],
    ids=lambda row: str(row.reason),
)
def test_what_is_not_in_sync_is_left_to_the_share(row: Change) -> None:
    """A refusal or a write that failed holds later waves by the share of failed copies, or not at all."""
    assert found(None, row) == ()


@pytest.mark.parametrize("given", [{"verify": None}, {"served": []}, {"last": 1}, {"dry_run": True}], ids=str)
def test_nobody_is_asked_for_nothing(given: dict[str, Any]) -> None:
    """Without the key, without addresses, without a later wave, or in a dry run, no address is awaited."""
    assert found(spec(**given)) == ()


def test_without_reading_the_key_the_serial_number_tells() -> None:
    """A copy that its note proves in sync has the serial number of its certificate in an annotation."""
    (one,) = found(spec(LISTED))
    assert (one.leaf, one.serial) == ("", "5eed")
    assert looked(one).served[0].matches
    assert not looked(one, result=leaf(serial="5eee")).served[0].matches


def test_a_version_that_nobody_knows_is_presented_by_no_address() -> None:
    """OPS has renewed the certificate between plan and write: the next run knows it, and looks again."""
    newer = change(
        Action.UPDATE,
        Reason.CERTIFICATE_RENEWED,
        "web-tls",
        namespace="app-a",
        new=certificate(content="c3", age=1).version,
        applied=True,
    )
    (one,) = found(None, newer)
    assert (one.leaf, one.serial) == ("", "")
    assert not looked(one).served[0].matches
    unknown = COPY.annotations | {annotations.FINGERPRINT: "v1:sha256:other"}
    (other,) = found(spec(LISTED), copy=target_secret(SOURCE, namespace="app-a", annotations=unknown))
    assert other.serial == ""


def test_a_time_that_can_not_be_parsed_is_unknown() -> None:
    """The metadata of a copy may be anything; the hold then says no time."""
    for managed in (ManagedKeys(written="soon"), ManagedKeys(), ManagedKeys(written="2026-02-01T12:00:00")):
        (one,) = found(copy=target_secret(SOURCE, namespace="app-a", managed=managed))
        assert one.since is None
    (one,) = found(copy=None)
    assert one.since is None


def test_where_the_names_are_unknown_the_address_itself_is_asked_for() -> None:
    """Metadata of a Secret that is not cert-manager's tells no names."""
    (one,) = found(spec(ListedSecret(ref=LISTED.ref, uid="uid", resource_version="7")))
    assert one.name == ADDRESS


def test_an_address_without_a_name_to_ask_for_holds() -> None:
    """It can't be verified: the detail says what to write, and no handshake is made."""
    only_wildcard = SOURCE.model_copy(update={"dns_names": ("*.other.example.org",)})
    (one,) = found(spec(only_wildcard))
    assert awaited.probes_of([report(one)]) == frozenset()
    (told,) = awaited.with_results([report(one)], {})
    assert told.served[0].served is not None
    assert told.served[0].served.match is ServedMatch.NO_NAME
    assert "write a name that it covers" in not_served_reason([told])


PRESENTED = {
    "the new one": (leaf(), True, ""),
    "an older one": (leaf("bb", "1", age=70), False, "older: an older certificate"),
    "another one": (leaf("cc", "2", age=1), False, "another: another certificate for this name"),
    "nothing": ("connection refused", False, "no answer: connection refused"),
}


@pytest.mark.parametrize(("result", "matches", "words"), PRESENTED.values(), ids=PRESENTED)
def test_only_the_stored_certificate_releases_the_next_wave(
    result: ServedCertificate | str, matches: bool, words: str
) -> None:
    """An older one, another one and no connection hold, and the reason says who presents what since when."""
    (one,) = found()
    assert not awaited.all_match([report(one)])  # nobody has looked
    told = looked(one, result=result)
    assert awaited.all_match([told]) is matches
    assert awaited.not_matching([told]) == (0 if matches else 1)
    reason = not_served_reason([told])
    assert bool(reason) is not matches
    if not matches:
        assert reason.startswith(f"1 of 1 handshake: dev: {ADDRESS} as {NAME}: {words}")
        assert reason.endswith("; not what app-a/web-tls has since 2026-02-01 12:00 UTC")


def test_who_has_presented_it_once_is_not_asked_again() -> None:
    """Behind a load balancer with servers of two states, the run would never end otherwise."""
    (one,) = found()
    told = looked(one)
    assert awaited.probes_of([told]) == frozenset()
    assert awaited.with_results([told], {PROBE: "connection refused"}) == (told,)


def test_the_reason_names_three_addresses_and_counts_the_others() -> None:
    """A hundred addresses fit into one line of a report."""
    served = Served(address=ADDRESS, match=ServedMatch.NONE, detail="connection refused")
    (one,) = found()
    many = [one.model_copy(update={"address": f"a{n}", "served": served}) for n in range(100)]
    reason = not_served_reason([report(*many)])
    assert reason.startswith("100 of 100 handshakes: dev: ")
    assert reason.count("connection refused") == 3
    assert reason.endswith("; and 97 more")


def test_the_cluster_whose_addresses_are_behind_is_warned_of() -> None:
    """Its own report has a line for each; a report without addresses stays as it is."""
    (one,) = found()
    behind, well = looked(one, result="connection refused"), looked(one)
    told = list(awaited.with_warnings([behind, well, report(one), ClusterReport(cluster="prd")]))
    assert [len(each.warnings) for each in told] == [1, 0, 0, 0]
    assert told[1] is well


def test_two_routes_with_one_address_ask_it_once() -> None:
    """The same certificate in two namespaces is one handshake."""
    other = change(Action.KEEP, Reason.IN_SYNC, "web-tls", namespace="app-a", old=SOURCE.version)
    assert len(found(None, KEPT, other)) == 1
