"""The decision table, row by row, and the laws that hold for every plan."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config.metadata import Metadata
from tasks.config.routes import Grant
from tasks.config.routing import Routing
from tasks.config.schema import Cluster
from tasks.config.self_service import GrantedRoute, Limit
from tasks.domain import annotations
from tasks.domain.models import (
    Action,
    Certificate,
    Change,
    FurtherKey,
    ManagedKeys,
    Plan,
    Rejection,
    SecretRef,
    SourceEntry,
    SourceSnapshot,
    TargetSecret,
    Version,
)
from tasks.domain.names import HostnamePatterns
from tasks.domain.reasons import Reason
from tasks.plan import decide, ownership, safety
from tests.support.factories import (
    HOSTNAMES,
    METADATA,
    NAME,
    NAMESPACE,
    NOW,
    OWNER,
    PAIR,
    US,
    certificate,
    cluster,
    foreign_secret,
    issuance,
    law,
    rejection,
    route,
    snapshot,
    target_secret,
    through_json,
    version,
)

few = settings(law, max_examples=50)

REF = SecretRef(namespace=NAMESPACE, name=NAME)
LITERAL, GLOB, ELSEWHERE = route(), route(["homarr-*"]), route(["other-tls"])
GIVEN = Metadata(labels={"team": "web"}, annotations={"example.org/a": "1"})
GIVES = {"metadata": GIVEN.model_dump()}
OWN = certificate()
SENDS = {"keys": ["key.der"]}
WITH_DER = certificate(further=(FurtherKey(name="key.der", size=100, digest="d1"),))
SPOILT_DER = certificate(further=(FurtherKey(name="key.der", fault=Reason.FORMAT_MISMATCH),))
EDITED = ManagedKeys(ours=frozenset({"tls.crt"}), ours_metadata=METADATA, others=frozenset({"tls.key"}))
CHECK_REASONS = tuple(Reason)[tuple(Reason).index(Reason.MISSING_DATA) :]

NOTHING_THERE = (None,)
OURS = (
    target_secret(),
    target_secret(certificate(content="b2")),
    target_secret(managed=EDITED),
    target_secret(immutable=True),
    target_secret(terminating=True),
    target_secret(type="Opaque"),
)
ASKS = {annotations.ADOPT: OWNER}
HOLDERS = {
    "cert-manager": Reason.OWNED_BY_CERT_MANAGER,
    "Helm": Reason.OWNED_BY_HELM,
    "Argo CD": Reason.OWNED_BY_ARGO_CD,
    "Flux": Reason.OWNED_BY_FLUX,
    "another controller": Reason.OWNED_BY_CONTROLLER,
}
NOBODYS = (
    foreign_secret(),
    foreign_secret(type="Opaque", immutable=True),
    foreign_secret(annotations={annotations.ADOPT: "ops-2"}),
    target_secret(managed=ManagedKeys(ours=None, ours_metadata=METADATA, others=PAIR)),
    target_secret(annotations={}),
)
OTHER_OPS = ownership.annotations(OWN) | {annotations.SOURCE_CLUSTER: "another"}
NOT_OURS = (
    *NOBODYS,
    target_secret(owner="ops-2"),
    target_secret(annotations=OTHER_OPS),
    foreign_secret(managed_by=Reason.OWNED_BY_HELM),
)
FIT = (OWN,)
UNFIT = tuple(rejection(reason=reason) for reason in CHECK_REASONS)
GONE = (None,)
PENDING = (issuance(), issuance(minutes=59), issuance(minutes=-5), issuance(held=Reason.TEMPORARY))
LATE = (issuance(minutes=60), issuance(attempts=1), issuance(minutes=99, held=Reason.MISSING_DATA))
UNTOLD = (*FIT, *UNFIT, *PENDING, *LATE, *GONE)


class Row(NamedTuple):
    """Everything that one row of the table stands for: each source with each target."""

    routes: tuple[dict[str, object], ...]
    sources: tuple[SourceEntry | None, ...]
    targets: tuple[TargetSecret | None, ...]
    hostnames: tuple[str, ...] = ("*.dev.example.org",)
    limits: tuple[tuple[str, ...], ...] = ()
    """The hostnames of the limits under which a Certificate asks for it, where it does."""
    requests_unread: bool = False


def edited(*, age: float, life: float = 90) -> TargetSecret:
    """A copy that somebody edited, after it was read: it holds what was issued `age` days ago."""
    return target_secret(managed=EDITED, was_read=True, read=version("c3", age=age, life=life))


NEWER = certificate(content="b2", age=1)


def unfit_copy(noted: Certificate, **values: Any) -> TargetSecret:
    """A copy with these notes that was read, and can't be used whatever the time."""
    facts = {"was_read": True, "read": noted.version, "unfit": Reason.TEMPORARY}
    return target_secret(noted, **{**facts, **values})


ROWS = {
    "valid, routed here | absent | create | MissingOnTarget": Row((LITERAL, GLOB), FIT, NOTHING_THERE),
    "valid, routed here | ours, same content | keep | InSync": Row((LITERAL, GLOB), FIT, (target_secret(),)),
    "valid, routed here | ours, other content | update | CertificateRenewed": Row(
        (LITERAL, GLOB),
        FIT,
        (
            target_secret(certificate(content="b2", age=70)),
            target_secret(certificate(content="b2", age=10)),
            target_secret(certificate(content="b2", age=1, life=0.5)),
        ),
    ),
    "valid, routed here | ours, sent by another route before | update | SourceChanged": Row(
        (LITERAL, GLOB), FIT, (target_secret(certificate("other-tls"), name=NAME),)
    ),
    "valid, routed here | ours, the route's keys differ | update | KeysChanged": Row(
        (LITERAL | SENDS, GLOB | SENDS), (WITH_DER,), (target_secret(), target_secret(given=GIVEN))
    ),
    "valid, routed here | ours, the route's metadata differs | update | MetadataChanged": Row(
        (LITERAL | GIVES, GLOB | GIVES),
        FIT,
        (
            target_secret(),
            target_secret(given=Metadata(labels={"team": "ops"}, annotations={"example.org/a": "1"})),
            target_secret(given=Metadata(labels={"team": "web"}, annotations={"example.org/a": "2"})),
            target_secret(given=Metadata(labels={"team": "web"})),
            target_secret(given=Metadata(labels={"team": "web", "tier": "1"}, annotations=GIVEN.annotations)),
        ),
    ),
    "valid, routed here | ours, edited by someone | update | Drifted": Row(
        (LITERAL, GLOB),
        FIT,
        (
            target_secret(managed=EDITED),
            edited(age=20),
            edited(age=10),
            edited(age=1, life=0.5),
            target_secret(managed=EDITED, was_read=True, read=None),
            unfit_copy(NEWER, managed=EDITED),
        ),
    ),
    "valid, routed here | ours, edited, and newer than OPS's | refuse | WouldDowngrade": Row(
        (LITERAL, GLOB), FIT, (edited(age=9.9), edited(age=1, life=6), edited(age=-1))
    ),
    "valid, routed here | ours, newer than OPS's | refuse | WouldDowngrade": Row(
        (LITERAL, GLOB),
        FIT,
        (
            target_secret(certificate(content="b2", age=9.9)),
            target_secret(certificate(content="b2", age=1, life=6)),
        ),
    ),
    "valid, routed here | ours, newer, but unfit for any use | update | CertificateRenewed": Row(
        (LITERAL, GLOB), FIT, (unfit_copy(NEWER), unfit_copy(NEWER, read=None))
    ),
    "valid, routed here | not ours | refuse | OwnedByOther": Row((LITERAL, GLOB), FIT, NOBODYS),
    "valid, routed here | another owner's copy | refuse | OwnedByAnotherOwner": Row(
        (LITERAL, GLOB), FIT, (target_secret(owner="ops-2"), target_secret(owner="ops-2", annotations=ASKS))
    ),
    "valid, routed here | another OPS cluster's copy | refuse | OwnedByAnotherSourceCluster": Row(
        (LITERAL, GLOB),
        FIT,
        (
            target_secret(annotations=OTHER_OPS),
            target_secret(annotations=OTHER_OPS | ASKS),
            target_secret(annotations=OTHER_OPS, managed=EDITED),
            target_secret(annotations=OTHER_OPS, managed=ManagedKeys(others=PAIR)),
        ),
    ),
    **{
        f"valid, routed here | managed by {who} | refuse | {reason}": Row(
            (LITERAL, GLOB),
            FIT,
            (
                foreign_secret(managed_by=reason),
                foreign_secret(managed_by=reason, annotations=ASKS),
                target_secret(managed_by=reason),
            ),
        )
        for who, reason in HOLDERS.items()
    },
    "valid, routed here | not ours, asks to be adopted | update | Adopted": Row(
        (LITERAL, GLOB),
        FIT,
        (
            foreign_secret(annotations=ASKS),
            foreign_secret(annotations=ASKS, was_read=True, read=None),
            unfit_copy(NEWER, labels={}, annotations=ASKS, managed=ManagedKeys(others=PAIR)),
            foreign_secret(annotations=ASKS, was_read=True, read=version("c3", age=20)),
            foreign_secret(annotations=ASKS, was_read=True, read=version("c3", age=1, life=0.5)),
        ),
    ),
    "valid, routed here | asks to be adopted, but is newer | refuse | WouldDowngrade": Row(
        (LITERAL, GLOB), FIT, (foreign_secret(annotations=ASKS, was_read=True, read=version("c3", age=9)),)
    ),
    "valid, routed here | asks for it, but has other keys | refuse | AdoptionWouldLoseKeys": Row(
        (LITERAL, GLOB),
        FIT,
        (
            foreign_secret(annotations=ASKS, was_read=True, keys=PAIR | {"keystore.jks"}),
            target_secret(labels={}, annotations=ASKS, was_read=True, keys=PAIR | {"ca.crt", "x"}),
        ),
    ),
    "valid, routed here | ours, other type | refuse | TypeDiffers": Row(
        (LITERAL, GLOB),
        FIT,
        (
            target_secret(type="Opaque"),
            target_secret(type="Opaque", immutable=True),
            foreign_secret(type="Opaque", annotations=ASKS),
        ),
    ),
    "valid, routed here | ours, immutable | refuse | Immutable": Row(
        (LITERAL, GLOB), FIT, (target_secret(immutable=True), target_secret(immutable=True, managed=EDITED))
    ),
    "valid, routed here | there, but can't be read | refuse | Unreadable": Row(
        (LITERAL, GLOB),
        FIT,
        (
            foreign_secret(managed_by=Reason.UNREADABLE),
            foreign_secret(managed_by=Reason.UNREADABLE, uid="", type=""),
        ),
    ),
    "valid, routed here | being deleted | refuse | Terminating": Row(
        (LITERAL, GLOB), FIT, (target_secret(terminating=True), foreign_secret(terminating=True))
    ),
    "valid, routed here, name not allowed | any | refuse | HostnameNotAllowed": Row(
        (LITERAL, GLOB), FIT, (*NOTHING_THERE, *OURS, *NOT_OURS), ("*.rct.example.org",)
    ),
    "valid, routed here, a key is missing | any | refuse | MissingKey": Row(
        (LITERAL | SENDS, GLOB | SENDS), FIT, (*NOTHING_THERE, *OURS, *NOT_OURS)
    ),
    "valid, routed here, a key is unfit | any | refuse | FormatMismatch": Row(
        (LITERAL | SENDS, GLOB | SENDS), (SPOILT_DER,), (*NOTHING_THERE, *OURS, *NOT_OURS)
    ),
    "valid, asked for, name not allowed | ours | keep | RequestBeyondLimits": Row(
        (), FIT, OURS, limits=(("*.rct.example.org",), ("*.prd.example.org", "*.example.org"))
    ),
    "valid, asked for, name not allowed | absent or not ours | nothing | RequestBeyondLimits": Row(
        (), FIT, (*NOTHING_THERE, *NOT_OURS), ("*.rct.example.org",), (HOSTNAMES,)
    ),
    "invalid (any check) | ours | keep | the check's reason": Row((LITERAL, GLOB), UNFIT, OURS),
    "invalid (any check), named literally | absent or not ours | nothing | the check's reason": Row(
        (LITERAL,), UNFIT, (*NOTHING_THERE, *NOT_OURS)
    ),
    "invalid (any check), found by a glob | absent or not ours | - | ": Row(
        (GLOB,), UNFIT, (*NOTHING_THERE, *NOT_OURS)
    ),
    "not there, named literally | ours | keep | MissingOnSource": Row((LITERAL,), GONE, OURS),
    "not there, named literally | absent or not ours | nothing | MissingOnSource": Row(
        (LITERAL,), GONE, (*NOTHING_THERE, *NOT_OURS)
    ),
    **{
        text: Row(routes, sources, targets)
        for what, reason, sources in (
            ("being issued", Reason.ISSUANCE_PENDING, PENDING),
            ("issuance is late", Reason.ISSUANCE_LATE, LATE),
        )
        for text, routes, targets in (
            (f"{what} | ours | keep | {reason}", (LITERAL, GLOB), OURS),
            (
                f"{what}, named literally | absent or not ours | nothing | {reason}",
                (LITERAL,),
                (*NOTHING_THERE, *NOT_OURS),
            ),
            (f"{what}, found by a glob | absent or not ours | - | ", (GLOB,), (*NOTHING_THERE, *NOT_OURS)),
        )
    },
    "gone, routed by a glob | ours | keep | GoneFromSource": Row((GLOB,), GONE, OURS),
    "not routed here any more | ours, in a routed namespace | keep | NoLongerRouted": Row(
        (route(["zzz-*"]),), UNTOLD, OURS
    ),
    "not routed; Certificates are unread | ours, one may have asked for it | keep | SourceUnread": Row(
        (), UNTOLD, OURS, limits=((),), requests_unread=True
    ),
    "not routed here | not ours | - | ": Row((route(["zzz-*"]),), UNTOLD, NOT_OURS),
}


LIMIT = Limit.model_validate(
    {"certificates": ["homarr-*"], "namespaces": [NAMESPACE], "hostnames": ["x.example.org"]}
)


def asked(*limits: tuple[str, ...], hostnames: tuple[str, ...] = HOSTNAMES) -> Cluster:
    """A cluster to which a Certificate asks that NAME be copied, under limits with these hostnames."""
    grants = tuple(Grant(limit=f"selfService[{n}]", hostnames=one) for n, one in enumerate(limits))
    granted = GrantedRoute(
        certificates=(NAME,), namespaces=(NAMESPACE,), grants=grants, requesters={NAME: "homarr"}
    )
    to = cluster(route(["zzz-*"]), hostnames=hostnames)
    return to.model_copy(update={"routes": (*to.routes, granted)})


def askable() -> Cluster:
    """One to which Certificates may ask that NAME be copied; what they ask for is unknown."""
    to = cluster(route(["zzz-*"]))
    return to.model_copy(update={"routes": (*to.routes, GrantedRoute.of(0, LIMIT))})


def clusters_of(row: Row) -> Iterator[Cluster]:
    """Yield what the row is about: what a glob routes and what was asked for are alike in most rows."""
    yield from (cluster(sent, hostnames=row.hostnames) for sent in row.routes)
    if row.requests_unread:
        yield askable()
    elif row.limits:
        yield asked(*row.limits, hostnames=row.hostnames)
    elif GLOB in row.routes and row.hostnames == HOSTNAMES:
        yield from (asked(HOSTNAMES), asked(("x.example.org",), HOSTNAMES))


def make(
    to: Cluster, found: SourceSnapshot, current: Iterable[TargetSecret] = (), certificate: str | None = None
) -> Plan:
    return decide.make_plan(to, found, current, owner=US, now=NOW, certificate=certificate)


def change(action: Action, reason: Reason, target: SecretRef = REF, **values: Any) -> Change:
    return Change(action=action, reason=reason, target=target, certificate=NAME, **values)


@pytest.mark.parametrize("text", ROWS)
def test_plan_matches_decision_table(text: str) -> None:
    """Every situation that a row of the table describes leads to the row's action and reason."""
    row = ROWS[text]
    action, told = text.split(" | ")[2:]
    for to, source, current in product(clusters_of(row), row.sources, row.targets):
        found = snapshot(*[source] if source else [], requests_unread=row.requests_unread)
        made = make(to, found, [current] if current else [])
        reason = source.reason if isinstance(source, Rejection) and told == "the check's reason" else told
        expected = [] if action == "-" else [(action, reason, REF, NAME)]
        assert [(c.action, c.reason, c.target, c.certificate) for c in made.changes] == expected


def test_decision_table_and_its_tests_have_the_same_rows() -> None:
    """The table in the docstring and the cases above can't drift apart."""
    lines = [line for line in (decide.__doc__ or "").splitlines() if line.startswith("|")][2:]
    rows = [" | ".join(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert rows == list(ROWS)


def test_plan_creates_what_is_missing() -> None:
    """A create says what will be there; there is no object that it could be bound to."""
    row = change(Action.CREATE, Reason.MISSING_ON_TARGET, new=OWN.version)
    assert make(cluster(), snapshot(OWN)) == Plan(cluster="dev", changes=(row,))


def test_plan_updates_a_renewed_certificate() -> None:
    """An update says old and new, and is bound to the object and the state that it was decided on."""
    old = certificate(content="b2", age=70)
    row = change(
        Action.UPDATE,
        Reason.CERTIFICATE_RENEWED,
        old=old.version,
        new=OWN.version,
        uid="uid-of-copy",
        resource_version="41",
    )
    assert make(cluster(), snapshot(OWN), [target_secret(old)]) == Plan(cluster="dev", changes=(row,))


def test_plan_takes_off_what_others_added() -> None:
    """Keys that somebody added to our copy are named in the update, sorted; keys of the source are not."""
    managed = ManagedKeys(ours=PAIR, ours_metadata=METADATA, others=frozenset({"z", "a", "tls.key"}))
    row = change(
        Action.UPDATE,
        Reason.DRIFTED,
        old=OWN.version,
        new=OWN.version,
        uid="uid-of-copy",
        resource_version="41",
        extra_keys=("a", "z"),
    )
    made = make(cluster(), snapshot(OWN), [target_secret(managed=managed)])
    assert made == Plan(cluster="dev", changes=(row,))


@pytest.mark.parametrize(
    ("secret", "gone"),
    [
        (foreign_secret(annotations=ASKS, was_read=True, keys=PAIR | {"ca.crt"}), ("ca.crt",)),
        (
            target_secret(
                labels={},
                annotations=ASKS,
                managed=ManagedKeys(ours=PAIR | {"ca.crt"}, ours_metadata=METADATA),
                was_read=True,
                keys=PAIR | {"ca.crt"},
            ),
            ("ca.crt",),
        ),
        (
            target_secret(
                managed=ManagedKeys(ours=PAIR | {"ca.crt"}, ours_metadata=METADATA, others=frozenset({"x"}))
            ),
            ("ca.crt", "x"),
        ),
        (
            target_secret(
                managed=ManagedKeys(
                    ours=PAIR | {"ca.crt"}, ours_metadata=METADATA, others=frozenset({"ca.crt", "x"})
                ),
                was_read=True,
                keys=PAIR | {"ca.crt", "x"},
            ),
            ("ca.crt", "x"),
        ),
        (target_secret(managed=EDITED, was_read=True, keys=PAIR | {"x"}), ("x",)),
        (
            target_secret(
                certificate(content="b2", age=70),
                managed=ManagedKeys(ours=PAIR | {"ca.crt"}, ours_metadata=METADATA),
            ),
            (),
        ),
    ],
    ids=[
        "adopted",
        "adopted, and written by us before",
        "ours goes with another's",
        "some are ours and another's at once",
        "owned by nobody",
        "ours alone, which an apply takes off",
    ],
)
def test_plan_names_each_key_that_a_patch_has_to_take_off(
    secret: TargetSecret, gone: tuple[str, ...]
) -> None:
    """The patch names each key that is there and is not sent, so that no version has a part of each."""
    source = OWN.model_copy(update={"version": version("d4")}) if not secret.was_read else OWN
    (row,) = make(cluster(), snapshot(source), [secret]).changes
    assert (row.writes, row.extra_keys) == (True, gone)


def test_a_refusal_tells_what_its_reason_alone_does_not() -> None:
    """The keys that an adoption would lose, sorted; where another obstacle comes first, nothing of them."""
    keys = PAIR | {"z", "a"}
    asking = foreign_secret(annotations=ASKS, was_read=True, keys=keys)
    (row,) = make(cluster(), snapshot(OWN), [asking]).changes
    assert (row.reason, row.detail) == (Reason.ADOPTION_WOULD_LOSE_KEYS, "a, z")
    (row,) = make(cluster(), snapshot(OWN), [replace(asking, terminating=True)]).changes
    assert (row.reason, row.detail) == (Reason.TERMINATING, "")


def test_a_refusal_names_the_other_ops_only_where_that_is_the_obstacle() -> None:
    """A copy of another owner is refused as that, wherever it came from."""
    (row,) = make(cluster(), snapshot(OWN), [target_secret(annotations=OTHER_OPS)]).changes
    assert row.reason is Reason.OWNED_BY_ANOTHER_SOURCE_CLUSTER
    assert row.detail
    (row,) = make(cluster(), snapshot(OWN), [target_secret(owner="ops-2", annotations=OTHER_OPS)]).changes
    assert (row.reason, row.detail) == (Reason.OWNED_BY_ANOTHER_OWNER, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [Reason.MISSING_ON_SOURCE]),
        ({"explicit": True}, [Reason.MISSING_ON_SOURCE]),
        ({"explicit": False}, []),
    ],
)
def test_an_absent_certificate_is_reported_to_whoever_named_it(
    options: dict[str, Any], expected: list[Reason]
) -> None:
    """A person who names it learns that OPS has none; the watcher, which names what changed, reports none."""
    to = cluster(route(["homarr-*"]))
    named = decide.make_plan(to, snapshot(), (), owner=US, now=NOW, certificate="homarr-gone-tls", **options)
    assert [row.reason for row in named.changes] == expected


def test_a_copy_in_sync_shares_the_version_of_its_source() -> None:
    """One object for all copies: a run with 50,000 of them would hold as many versions otherwise."""
    source = OWN.model_copy(update={"version": version()})
    (row,) = make(cluster(), snapshot(source), [target_secret(source)]).changes
    assert row.old is row.new


def test_plan_binds_nothing_that_it_does_not_write() -> None:
    """A refusal and a kept copy carry no object to change."""
    kept = make(cluster(), snapshot(OWN), [target_secret()])
    refused = make(cluster(), snapshot(OWN), [foreign_secret()])
    assert kept.changes == (change(Action.KEEP, Reason.IN_SYNC, old=OWN.version, new=OWN.version),)
    assert refused.changes == (change(Action.REFUSE, Reason.OWNED_BY_OTHER, new=OWN.version),)


def test_plan_keeps_a_copy_whose_source_is_unfit_and_says_why() -> None:
    """The reason and the detail of the check reach the report of every cluster that has the copy."""
    row = change(Action.KEEP, Reason.EXPIRED, old=OWN.version, detail="since 2026")
    assert make(cluster(), snapshot(rejection()), [target_secret()]).changes == (row,)


def test_plan_says_since_when_an_issuance_is_pending() -> None:
    """The row names the Certificate, since when, and what came of it so far; only a late one is a failure."""
    pending = issuance(held=Reason.TEMPORARY)
    (row,) = make(cluster(), snapshot(pending)).changes
    told = f"Certificate {NAME}, since 2026-03-01 11:55 UTC, the Secret so far: TemporaryCertificate"
    assert (row.detail, row.failed) == (told, False)
    (row,) = make(cluster(), snapshot(issuance(attempts=2))).changes
    told = f"Certificate {NAME}, since 2026-03-01 11:55 UTC, failed attempts: 2"
    assert (row.detail, row.failed) == (told, True)


def test_plan_says_which_names_may_not_be_sent() -> None:
    """A refusal for its names lists each stranger, whatever its kind, and none that is allowed."""
    source = certificate(
        dns_names=("a.dev.example.org", "a.prd.example.org", "x.y.dev.example.org"),
        other_names=("IPAddress",),
    )
    (row,) = make(cluster(), snapshot(source)).changes
    assert (row.reason, row.detail) == (
        Reason.HOSTNAME_NOT_ALLOWED,
        "a.prd.example.org, x.y.dev.example.org, IPAddress",
    )


@pytest.mark.parametrize("name", ["", " ", "a b.dev.example.org", "a\x1b[2J\n|<b>.dev.example.org"])
def test_plan_refuses_a_name_that_is_no_dns_name(name: str) -> None:
    """An issuer may sign anything; a `*` takes in a label and nothing else."""
    source = certificate(dns_names=(name, "web.dev.example.org"))
    (row,) = make(cluster(), snapshot(source)).changes
    assert (row.action, row.reason) == (Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED)


def test_plan_refuses_a_certificate_without_dns_name() -> None:
    """A certificate with no DNS name fits no pattern, so it is sent nowhere."""
    (row,) = make(cluster(), snapshot(certificate(dns_names=()))).changes
    assert (row.action, row.detail) == (Action.REFUSE, "no DNS name at all")


def test_plan_refuses_a_certificate_with_an_ip_address() -> None:
    """One name of a kind that can't be matched is enough, though all DNS names are allowed."""
    (row,) = make(cluster(), snapshot(certificate(other_names=("IPAddress",)))).changes
    assert (row.action, row.detail) == (Action.REFUSE, "IPAddress")


def test_plan_goes_by_the_hostnames_of_its_cluster() -> None:
    """Of two clusters, each gets the certificates with its own names and refuses the other's."""
    dev = certificate("dev-tls", dns_names=("a.dev.example.org",))
    rct = certificate("rct-tls", dns_names=("a.rct.example.org",))
    routes = route(["*"])
    on_dev = make(cluster(routes, name="dev", hostnames=["*.dev.example.org"]), snapshot(dev, rct))
    on_rct = make(cluster(routes, name="rct", hostnames=["*.rct.example.org"]), snapshot(dev, rct))
    assert [(c.certificate, c.action) for c in on_dev.changes] == [
        ("dev-tls", "create"),
        ("rct-tls", "refuse"),
    ]
    assert [(c.certificate, c.action) for c in on_rct.changes] == [
        ("dev-tls", "refuse"),
        ("rct-tls", "create"),
    ]


def test_plan_sends_a_certificate_under_the_routes_name() -> None:
    """A route's `name` is the name on the target; the certificate keeps its own."""
    made = make(cluster(route(name="web-tls")), snapshot(OWN))
    renamed = SecretRef(namespace=NAMESPACE, name="web-tls")
    expected = change(Action.CREATE, Reason.MISSING_ON_TARGET, renamed, new=OWN.version)
    assert made.changes == (expected,)


def test_plan_sends_nothing_that_no_route_names() -> None:
    """What no route names goes nowhere, even if everything else fits."""
    assert make(cluster(), snapshot(certificate("other-tls"))).writes == ()


def test_plan_for_one_certificate_has_its_rows_alone() -> None:
    """With a certificate named, rows of others, and copies of others that are left over, are not there."""
    to = cluster(route(["*"]))
    found = snapshot(OWN, certificate("other-tls"))
    current = [target_secret(certificate("gone-tls"))]
    assert [c.certificate for c in make(to, found, current).changes] == ["gone-tls", NAME, "other-tls"]
    assert [c.certificate for c in make(to, found, current, NAME).changes] == [NAME]
    assert [c.certificate for c in make(to, found, current, "gone-tls").changes] == ["gone-tls"]


def test_plan_for_one_certificate_does_not_call_others_unrouted() -> None:
    """A copy of another certificate that is routed stays unmentioned when only one is asked for."""
    to, other = cluster(route(["*"])), certificate("other-tls")
    assert make(to, snapshot(OWN, other), [target_secret(other)], NAME).changes == (
        change(Action.CREATE, Reason.MISSING_ON_TARGET, new=OWN.version),
    )


def test_plan_never_calls_an_edited_copy_newer_when_it_was_not_read() -> None:
    """What we once noted on a copy that was edited since proves nothing."""
    newer = target_secret(certificate(content="b2", age=1), managed=EDITED)
    (row,) = make(cluster(), snapshot(OWN), [newer]).changes
    assert (row.action, row.reason) == (Action.UPDATE, Reason.DRIFTED)


def test_plan_names_the_copies_to_read() -> None:
    """Before an edited copy is replaced it must be read; a renewed one need not be."""
    to = cluster(route(["*"]))
    renewed, touched = certificate("a-tls"), certificate("b-tls")
    current = [
        target_secret(certificate("a-tls", content="b2", age=70)),
        target_secret(touched, managed=EDITED),
    ]
    made = make(to, snapshot(renewed, touched), current)
    found = {secret.ref: secret for secret in current}
    assert decide.must_read_first(made, found) == (SecretRef(namespace=NAMESPACE, name="b-tls"),)


NOTES = {
    "is no date": {annotations.NOT_BEFORE: "yesterday"},
    "is empty": {annotations.NOT_AFTER: ""},
    "has no time zone": {annotations.NOT_BEFORE: "2030-01-01T00:00:00", annotations.NOT_AFTER: "2031-01-01"},
}


@pytest.mark.parametrize("notes", NOTES.values(), ids=[f"the note {text}" for text in NOTES])
def test_plan_survives_a_note_that_someone_edited(notes: dict[str, str]) -> None:
    """Whatever somebody writes into our annotations, the copy is drifted and is put right."""
    managed = ManagedKeys(ours=PAIR, ours_metadata=METADATA - set(notes))
    copy = target_secret(annotations={**ownership.annotations(OWN), **notes}, managed=managed)
    (row,) = make(cluster(), snapshot(OWN), [copy]).changes
    assert (row.action, row.reason, row.old) == (Action.UPDATE, Reason.DRIFTED, None)


@pytest.mark.parametrize("source", ["", "/", "certificates-ops/", "../..", "x" * 5000, "a\nb"])
def test_plan_survives_a_hostile_source_annotation(source: str) -> None:
    """A copy whose source annotation was forged is kept and reported, nothing more."""
    copy = target_secret(name="z", annotations={annotations.SOURCE: source})
    made = make(cluster(route(["homarr-*"])), snapshot(), [copy])
    assert made.writes == ()
    assert {(c.action, c.target.name) for c in made.changes} <= {(Action.KEEP, "z")}


# -- what must hold for every write, whatever decided it -------------------------------------------

COPY = target_secret()
CREATE = change(Action.CREATE, Reason.MISSING_ON_TARGET, new=OWN.version)
UPDATE = change(
    Action.UPDATE, Reason.DRIFTED, new=OWN.version, uid=COPY.uid, resource_version=COPY.resource_version
)
FOREIGN_COPY = replace(COPY, labels={})


def moved(namespace: str, name: str = NAME) -> Change:
    return replace(CREATE, target=SecretRef(namespace=namespace, name=name))


def changed(row: Change, **update: Any) -> Change:
    return replace(row, **update)


def safe(
    *rows: Change, there: Sequence[TargetSecret] = (), to: Cluster | None = None, name: str = "dev"
) -> None:
    safety.ensure_safe(Plan(cluster=name, changes=rows), to or cluster(), snapshot(OWN), there, US)


UNSAFE: dict[str, tuple[tuple[Change, ...], tuple[TargetSecret, ...], str]] = {
    "a Secret would be written twice": ((CREATE, CREATE), (), "writes a Secret twice"),
    "no route leads to the namespace": ((moved("elsewhere"),), (), "no route leads there"),
    "no route gives it that name": ((moved(NAMESPACE, "other"),), (), "no route leads there"),
    "the namespace is empty": ((moved(""),), (), "no route leads there"),
    "the name is the parent folder": ((moved(NAMESPACE, ".."),), (), "not the name of a Secret"),
    "the name is empty": ((moved(NAMESPACE, ""),), (), "not the name of a Secret"),
    "there is nothing to write": ((changed(CREATE, new=None),), (), "no fit certificate"),
    "the certificate is not on OPS": (
        (changed(CREATE, certificate="homarr-dev-2"),),
        (),
        "no fit certificate",
    ),
    "a create would take what exists": ((CREATE,), (COPY,), "a create of what exists"),
    "an update would take what is foreign": ((UPDATE,), (FOREIGN_COPY,), "an update of what isn't ours"),
    "an update would make what is missing": ((UPDATE,), (), "an update of what isn't ours"),
    "an update names no uid": ((changed(UPDATE, uid=None),), (COPY,), "an update of what isn't ours"),
    "an update names another uid": ((changed(UPDATE, uid="other"),), (COPY,), "an update of what isn't ours"),
    "an adoption would lose a key": (
        (UPDATE,),
        (foreign_secret(uid=COPY.uid, annotations=ASKS, was_read=True, keys=PAIR | {"x"}),),
        "an adoption that would lose keys",
    ),
    "an update names no state": ((changed(UPDATE, resource_version=None),), (COPY,), "without a version"),
    "the fault is in the last row": ((CREATE, moved("elsewhere")), (), "no route leads there"),
}


@pytest.mark.parametrize(("changes", "there", "message"), UNSAFE.values(), ids=UNSAFE)
def test_ensure_safe_refuses_when(
    changes: tuple[Change, ...], there: tuple[TargetSecret, ...], message: str
) -> None:
    """One unsafe write refuses the whole plan."""
    with pytest.raises(safety.UnsafePlan, match=message):
        safe(*changes, there=there)


@pytest.mark.parametrize("name", ["prd", "abc"])
def test_ensure_safe_refuses_a_plan_for_another_cluster(name: str) -> None:
    """A plan is carried out in the cluster that it was made for, and in no other."""
    with pytest.raises(safety.UnsafePlan, match="for another cluster"):
        safe(CREATE, name=name)


def test_ensure_safe_refuses_a_name_that_may_not_be_sent() -> None:
    """A certificate with a DNS name outside the cluster's hostnames is not written, whatever decided it."""
    narrow = cluster().model_copy(update={"hostnames": ("*.elsewhere.org",)})
    with pytest.raises(safety.UnsafePlan, match="a name that may not be sent"):
        safe(CREATE, to=narrow)


@pytest.mark.parametrize("namespace", ["kube-system", "default", "cert-manager", "argocd", "tls-sync"])
def test_ensure_safe_refuses_a_protected_namespace_though_it_is_routed(namespace: str) -> None:
    """A configuration that slipped past its own checks still reaches no protected namespace."""
    sound = cluster()
    slipped = sound.routes[0].model_copy(update={"namespaces": (namespace,)})
    with pytest.raises(safety.UnsafePlan, match="a protected namespace"):
        safe(moved(namespace), to=sound.model_copy(update={"routes": (slipped,)}))


def test_ensure_safe_compares_values_and_not_objects() -> None:
    """Facts that went through the result storage are equal, and no longer the same objects."""
    again, there = through_json(UPDATE), through_json(COPY)
    assert again.uid is not there.uid
    safe(again, there=[there], name=json.loads('"dev"'))


def test_a_write_takes_the_certificate_that_its_row_names() -> None:
    """A sound certificate of the same content under another name is not the one that was planned."""
    elsewhere = SecretRef(namespace=OWN.ref.namespace, name="another-tls")
    other = OWN.model_copy(update={"ref": elsewhere})
    safety.ensure_safe_write(CREATE, Routing(cluster()), OWN, None, US)
    with pytest.raises(safety.UnsafePlan, match="no fit certificate"):
        safety.ensure_safe_write(CREATE, Routing(cluster()), other, None, US)


def test_nothing_is_written_on_behalf_of_an_unknown_ops() -> None:
    """Without the uid of OPS nothing is written, since a copy could not name its source."""
    with pytest.raises(safety.UnsafePlan, match="it is not known which OPS this is"):
        safety.ensure_safe_write(CREATE, Routing(cluster()), OWN, None, replace(US, cluster_id=""))


def test_ensure_safe_accepts_a_sound_plan() -> None:
    """Sound writes pass, and rows that write nothing are not judged."""
    idle = change(Action.REFUSE, Reason.OWNED_BY_OTHER, SecretRef(namespace="kube-system", name=".."))
    renamed = cluster(route(), route(namespaces=[NAMESPACE], name="other"))
    safe(UPDATE, moved(NAMESPACE, "other"), idle, idle, there=[COPY], to=renamed)


def test_plan_names_the_certificates_that_a_target_has_newer() -> None:
    """OPS is looked at again for these, and for no others."""
    to = cluster(route(["*"]))
    older, renewed, kept = certificate("a-tls"), certificate("b-tls"), certificate("c-tls")
    current = [
        target_secret(certificate("a-tls", content="b2", age=1)),
        target_secret(certificate("b-tls", content="b2", age=70)),
        target_secret(kept),
    ]
    made = make(to, snapshot(older, renewed, kept, certificate("d-tls")), current)
    assert decide.downgrades(made) == {"a-tls"}


def test_plan_ends_annotations_only_where_it_adopts() -> None:
    """What a kubectl loop left ends with an adoption; on a copy of ours it is somebody else's."""
    adopted = foreign_secret(annotations=ASKS, has_last_applied=True)
    (row,) = make(cluster(), snapshot(OWN), [adopted]).changes
    assert row.extra_annotations == (annotations.ADOPT, annotations.LAST_APPLIED)
    for copy in (
        target_secret(managed=EDITED, has_last_applied=True),
        target_secret(certificate(content="b2", age=70), has_last_applied=True),
    ):
        (row,) = make(cluster(), snapshot(OWN), [copy]).changes
        assert (row.action, row.extra_annotations) == (Action.UPDATE, ())


def test_plan_ends_the_notes_of_a_copy_that_it_writes() -> None:
    """Its certificate is there: however often it is edited and written, no note of an absence stays on it."""
    notes = dict.fromkeys(annotations.ORPHAN_MARKS, "3")
    renewed = certificate(content="b2", age=70)
    for copy in (
        target_secret(annotations=ownership.annotations(OWN) | notes, managed=EDITED),
        target_secret(renewed, annotations=ownership.annotations(renewed) | notes),
    ):
        (row,) = make(cluster(), snapshot(OWN), [copy]).changes
        assert (row.action, row.extra_annotations) == (
            Action.UPDATE,
            tuple(sorted(annotations.ORPHAN_MARKS)),
        )


def test_plan_lets_go_of_a_newer_copy_at_the_moment_it_expires() -> None:
    """A copy that ends now is as good as none."""
    ending = target_secret(certificate(content="b2", age=1, life=1))
    (row,) = make(cluster(), snapshot(OWN), [ending]).changes
    assert row.action is Action.UPDATE


@pytest.mark.parametrize("other", ["aaa-tls", "zzz-tls"])
def test_plan_tells_another_certificate_by_its_name(other: str) -> None:
    """What another route sent before may be replaced even by an older certificate."""
    newer = target_secret(certificate(other, age=1), name=NAME)
    (row,) = make(cluster(), snapshot(OWN), [newer]).changes
    assert (row.action, row.reason) == (Action.UPDATE, Reason.SOURCE_CHANGED)


@pytest.mark.parametrize("namespace", ["aaa", "zzz"])
@pytest.mark.parametrize(("age", "reason"), [(1, Reason.WOULD_DOWNGRADE), (10, Reason.SOURCE_CHANGED)])
def test_plan_does_not_take_a_moved_source_for_another_certificate(
    namespace: str, age: float, reason: Reason
) -> None:
    """Where only OPS's namespace has changed, a newer copy is still a newer copy of the same certificate."""
    moved_from = certificate(age=age).model_copy(update={"ref": SecretRef(namespace=namespace, name=NAME)})
    (row,) = make(cluster(), snapshot(OWN), [target_secret(moved_from)]).changes
    assert row.reason is reason


UNREAD = {
    "in sync": (target_secret(), False),
    "older": (target_secret(certificate(content="b2", age=70)), False),
    "newer": (target_secret(NEWER), True),
    "newer, and expired": (target_secret(certificate(content="b2", age=1, life=0.5)), False),
    "newer, and read": (target_secret(NEWER, was_read=True, read=NEWER.version), False),
    "newer, unfit and read": (unfit_copy(NEWER), False),
    "edited": (target_secret(managed=EDITED), True),
    "asks to be adopted": (foreign_secret(annotations=ASKS), True),
    "not ours": (foreign_secret(), False),
}


@pytest.mark.parametrize(("copy", "expected"), UNREAD.values(), ids=UNREAD)
def test_a_copy_is_read_only_where_its_metadata_does_not_decide(copy: TargetSecret, expected: bool) -> None:
    """A run reads what others wrote and what would be newer, and nothing twice."""
    made = make(cluster(), snapshot(OWN), [copy])
    assert decide.must_read_first(made, {copy.ref: copy}) == ((copy.ref,) if expected else ())


def test_plan_says_why_a_newer_copy_is_replaced() -> None:
    """The row of a copy that is of no use names the check that it failed, and what it held."""
    (row,) = make(cluster(), snapshot(OWN), [unfit_copy(NEWER)]).changes
    assert (row.detail, row.old) == ("the copy is unfit: TemporaryCertificate", NEWER.version)


@pytest.mark.parametrize("content", ["00", "ff"])
def test_plan_tells_another_content_by_its_fingerprint(content: str) -> None:
    """Fingerprints are equal or not; none is greater."""
    (row,) = make(cluster(), snapshot(OWN), [target_secret(certificate(content=content))]).changes
    assert row.reason is Reason.CERTIFICATE_RENEWED


@pytest.mark.parametrize("other", ["Opaque", "zzz"])
def test_plan_compares_types_by_value(other: str) -> None:
    """Any other type is another type; the same one is the same, wherever its text comes from."""
    (row,) = make(cluster(), snapshot(OWN), [target_secret(type=other)]).changes
    assert row.reason is Reason.TYPE_DIFFERS
    (row,) = make(cluster(), snapshot(OWN), [target_secret(type=json.loads('"kubernetes.io/tls"'))]).changes
    assert row.reason is Reason.IN_SYNC


def test_plan_calls_a_copy_gone_only_where_it_is_routed() -> None:
    """A copy that lies where no route sends it is no longer routed, also when OPS has lost its source."""
    to = cluster(GLOB, route(["other-*"], ["headlamp-dev"]))
    stray = target_secret(namespace="headlamp-dev")
    reasons = [
        change.reason for change in make(to, snapshot(), [stray]).changes if change.target == stray.ref
    ]
    assert reasons == [Reason.NO_LONGER_ROUTED]


# -- laws over arbitrary inventories and targets ---------------------------------------------------

CLUSTERS = (
    cluster(),
    cluster(GLOB),
    cluster(route(["*"], ["homarr-dev", "headlamp-dev"])),
    cluster(LITERAL, route(["headlamp-*"], ["headlamp-dev"]), route(["wildcard-tls"], name="web-tls")),
    cluster(route(["*-tls"]), hostnames=["*.dev.example.org", "*.*.example.org"]),
)
# Each draws the usual thing as often as all others together: else hardly anything is written.
NAMES = st.just(NAME) | st.sampled_from([NAME, "headlamp-tls", "wildcard-tls", "web-tls", "other"])
NAMESPACES = st.just("homarr-dev") | st.sampled_from(
    ["homarr-dev", "headlamp-dev", "certificates-ops", "kube-system"]
)
DNS = st.sampled_from(["a.dev.example.org", "*.dev.example.org", "x.y.example.org", "evil.net", "localhost"])
AGES = st.sampled_from([0, 10, 95]) | st.integers(-5, 100)


def content_of(age: int) -> str:
    """What has the same content was issued at the same time."""
    return f"{age + 5:02x}"


def issued(name: str, age: int, **values: Any) -> Certificate:
    return certificate(name, content_of(age), age=age, **values)


CERTIFICATES = st.builds(
    issued,
    NAMES,
    AGES,
    dns_names=st.just(("a.dev.example.org",)) | st.lists(DNS, max_size=3).map(tuple),
    other_names=st.just(()) | st.lists(st.sampled_from(["IPAddress"]), max_size=1).map(tuple),
    keys=st.sampled_from([("tls.crt", "tls.key"), ("ca.crt", "tls.crt", "tls.key")]),
)
REJECTIONS = st.builds(rejection, NAMES, st.sampled_from(CHECK_REASONS))


def unique(found: list[Certificate | Rejection]) -> SourceSnapshot:
    return snapshot(*{one.ref.name: one for one in found}.values())


INVENTORIES = st.lists(st.one_of(CERTIFICATES, REJECTIONS), max_size=6).map(unique)
KEYS = st.frozensets(st.sampled_from(["tls.crt", "tls.key", "ca.crt", "x"]))
VERSIONS = st.none() | AGES.map(lambda age: version(content_of(age), age=age))


def as_listed(secret: TargetSecret) -> TargetSecret:
    """A list tells nothing of what a Secret holds: that is known of one that was read, and of no other."""
    return secret if secret.was_read else replace(secret, read=None)


OWNED = st.builds(
    target_secret,
    CERTIFICATES,
    namespace=NAMESPACES,
    name=NAMES,
    uid=st.uuids().map(str),
    type=st.sampled_from([annotations.SECRET_TYPE] * 7 + ["Opaque"]),
    immutable=st.sampled_from([False] * 7 + [True]),
    terminating=st.sampled_from([False] * 7 + [True]),
    managed=st.just(ManagedKeys(ours=PAIR, ours_metadata=METADATA))
    | st.builds(
        ManagedKeys,
        ours=KEYS | st.just(PAIR),
        ours_metadata=st.sampled_from([METADATA, frozenset()]),
        others=KEYS,
    ),
    was_read=st.booleans(),
    read=VERSIONS,
).map(as_listed)
TAKE_AWAY: tuple[dict[str, Any], ...] = (
    {"labels": {}},
    {"labels": ownership.labels("ops-2")},
    {"labels": {annotations.OWNER: OWNER}},
    {"annotations": {}},
    {"managed": ManagedKeys(ours=None, ours_metadata=METADATA, others=PAIR)},
)
FOREIGN = st.builds(lambda copy, update: replace(copy, **update), OWNED, st.sampled_from(TAKE_AWAY))


class World(NamedTuple):
    """What a target has, and which of it somebody else owns."""

    owned: tuple[TargetSecret, ...]
    foreign: tuple[TargetSecret, ...]

    @property
    def all(self) -> tuple[TargetSecret, ...]:
        return self.owned + self.foreign


def world(owned: list[TargetSecret], foreign: list[TargetSecret]) -> World:
    mine = {secret.ref: secret for secret in owned}
    theirs = {secret.ref: secret for secret in foreign}
    return World(tuple(s for ref, s in mine.items() if ref not in theirs), tuple(theirs.values()))


WORLDS = st.builds(world, st.lists(OWNED, max_size=6), st.lists(FOREIGN, max_size=4))


@few
@given(to=st.sampled_from(CLUSTERS), found=INVENTORIES, there=WORLDS)
def test_plan_writes_only_what_is_ours_routed_fit_and_allowed(
    to: Cluster, found: SourceSnapshot, there: World
) -> None:
    """No write reaches a foreign Secret, an unrouted namespace, or carries a name outside `hostnames`."""
    made = make(to, found, there.all)
    safety.ensure_safe(made, to, found, there.all, US)
    foreign = {secret.ref for secret in there.foreign}
    routed = {namespace for one in to.routes for namespace in one.namespaces}
    fit = {one.ref.name: one for one in found.certificates}
    for row in made.writes:
        sent = fit[row.certificate]
        assert row.target not in foreign
        assert row.target.namespace in routed
        assert sent.dns_names
        assert all(HostnamePatterns(to.hostnames).allow(name) for name in sent.dns_names)
        assert not sent.other_names
        assert row.new == sent.version


@few
@given(to=st.sampled_from(CLUSTERS), found=INVENTORIES, there=WORLDS)
def test_plan_creates_what_is_absent_and_updates_what_is_there(
    to: Cluster, found: SourceSnapshot, there: World
) -> None:
    """A create meets no Secret of its name, and an update is bound to the very one that the list showed."""
    by_ref = {secret.ref: secret for secret in there.all}
    for row in make(to, found, there.all).writes:
        known = by_ref.get(row.target)
        assert (row.uid, row.resource_version) == (
            (known.uid, known.resource_version) if known else (None, None)
        )
        assert (row.action is Action.UPDATE) is (known is not None)


@few
@given(to=st.sampled_from(CLUSTERS), unfit=st.lists(REJECTIONS, max_size=4), there=WORLDS)
def test_plan_writes_nothing_when_nothing_is_fit(to: Cluster, unfit: list[Rejection], there: World) -> None:
    """An OPS without a fit certificate, empty or broken, changes nothing anywhere."""
    assert make(to, unique([*unfit]), there.all).writes == ()


def held(secret: TargetSecret) -> Version | None:
    """What a copy holds, as far as it can be known without reading it."""
    managed = secret.managed
    added = not managed.others <= PAIR  # who added a key may have written to ours, too
    drifted = managed.ours != PAIR or managed.ours_metadata != METADATA or added
    return secret.read if secret.was_read or drifted else ownership.written_version(secret)


FIT_NAMES = {"ref": OWN.ref, "dns_names": OWN.dns_names, "other_names": ()}
SENT = CERTIFICATES.map(lambda one: one.model_copy(update=FIT_NAMES))
COPIES = OWNED.map(lambda one: replace(one, ref=REF))


@law
@given(
    to=st.sampled_from(CLUSTERS),
    found=SENT.map(snapshot) | INVENTORIES,
    there=COPIES.map(lambda copy: world([copy], [])) | WORLDS,
)
def test_plan_replaces_no_newer_certificate_that_is_still_valid(
    to: Cluster, found: SourceSnapshot, there: World
) -> None:
    """What a copy is known to hold is replaced only by what is not older, unless it has expired.

    A copy that now takes another certificate by a changed route is the exception: the two can't be compared.
    """
    by_ref = {secret.ref: secret for secret in there.owned}
    for row in make(to, found, there.all).writes:
        known = held(by_ref[row.target]) if row.target in by_ref else None
        if known and row.new and row.reason is not Reason.SOURCE_CHANGED:
            assert known.not_before <= row.new.not_before or known.not_after <= NOW


@few
@given(to=st.sampled_from(CLUSTERS), found=INVENTORIES, there=WORLDS, order=st.randoms())
def test_plan_is_sorted_whatever_the_order_of_its_input(
    to: Cluster, found: SourceSnapshot, there: World, order: Random
) -> None:
    """The same facts in another order give the same plan, sorted by target."""
    made = make(to, found, there.all)
    targets = [(c.target.namespace, c.target.name) for c in made.changes]
    assert targets == sorted(targets)
    secrets, fit, unfit = list(there.all), list(found.certificates), list(found.rejections)
    for shuffled in (secrets, fit, unfit):
        order.shuffle(shuffled)
    other = SourceSnapshot(certificates=tuple(fit), rejections=tuple(unfit))
    assert make(to, other, secrets) == made


def applied(made: Plan, found: SourceSnapshot, current: Iterable[TargetSecret]) -> list[TargetSecret]:
    """A model of the target after the plan was carried out."""
    after = {secret.ref: secret for secret in current}
    fit = {one.ref.name: one for one in found.certificates}
    for row in made.writes:
        after[row.target] = target_secret(
            fit[row.certificate], namespace=row.target.namespace, name=row.target.name
        )
    return list(after.values())


@few
@given(to=st.sampled_from(CLUSTERS), found=INVENTORIES, there=WORLDS)
def test_plan_is_empty_after_it_was_applied(to: Cluster, found: SourceSnapshot, there: World) -> None:
    """Applied once, a plan leaves nothing to write, and all that it wrote is in sync."""
    made = make(to, found, there.all)
    again = make(to, found, applied(made, found, there.all))
    assert again.writes == ()
    written = {row.target for row in made.writes}
    assert {(c.action, c.reason) for c in again.changes if c.target in written} <= {
        (Action.KEEP, Reason.IN_SYNC)
    }


@few
@given(to=st.sampled_from(CLUSTERS), found=INVENTORIES, there=WORLDS)
def test_plan_has_one_row_for_each_wanted_and_each_left_over_secret(
    to: Cluster, found: SourceSnapshot, there: World
) -> None:
    """No Secret has two rows, and no copy of ours in the list goes unmentioned."""
    rows = [row.target for row in make(to, found, there.all).changes]
    assert len(rows) == len(set(rows))
    assert {secret.ref for secret in there.owned} <= set(rows)
