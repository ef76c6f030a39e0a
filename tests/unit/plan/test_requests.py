"""What is granted of what Certificates ask for: never anything beyond the limits, and the rest is told."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import parse_config
from tasks.config.schema import SyncConfig
from tasks.domain.models import (
    Action,
    ClusterReport,
    CopyRequest,
    ListedSecret,
    RefusedRequest,
    SecretRef,
    SourceSnapshot,
)
from tasks.domain.names import matches
from tasks.domain.reasons import Reason
from tasks.kube.client import ClusterClient
from tasks.plan.decide import make_plan, refused
from tasks.plan.note import Rules, note_of
from tasks.plan.observed import ObservedState
from tasks.plan.requests import UNKNOWN, granted, without_requests
from tasks.plan.safety import UnsafePlan, ensure_safe
from tasks.plan.spec import SyncSpec
from tasks.plan.waves import Share, share_of
from tasks.target.apply import SecretApplier
from tests.support.factories import (
    NOW,
    SOURCE_NAMESPACE,
    US,
    certificate,
    failure,
    issuance,
    law,
    rejection,
    snapshot,
    target_secret,
)
from tests.support.steps import steps

BEYOND, INVALID, CONFLICT = Reason.REQUEST_BEYOND_LIMITS, Reason.REQUEST_INVALID, Reason.REQUEST_CONFLICT
WEB = {
    "labels": {"env": "dev"},
    "certificates": ["web-*"],
    "namespaces": ["web", "web-2"],
    "hostnames": ["*.web.example.org"],
}
API = {"clusters": ["*"], "certificates": ["api-tls"], "namespaces": ["api"], "hostnames": ["*.example.org"]}
OWN = {"certificates": ["own-*"], "namespaces": ["own"]}
NAMES = ("web-a-tls", "web-b-tls", "api-tls", "own-tls")
Document = dict[str, Any]


def configuration(*limits: Document, routes: list[Document] | None = None, **values: Any) -> SyncConfig:
    """Two clusters with a route of their own."""
    clusters = [
        {
            "name": name,
            "context": name,
            "labels": {"env": name},
            "hostnames": ["*.example.org", "*.web.example.org"],
            "routes": [OWN, *(routes or [])],
        }
        for name in ("dev", "prd")
    ]
    limited = {"selfService": list(limits)} if limits else {}
    source = {"namespace": SOURCE_NAMESPACE}
    return parse_config({"owner": "ops", "source": source, "clusters": clusters, **limited, **values})


def asks(
    *places: str, secret: str = "web-a-tls", by: tuple[str, ...] = ("web-a",), fault: str = ""
) -> CopyRequest:
    return CopyRequest(secret=secret, certificates=by, asked=places, fault=fault)


def ops(*requests: CopyRequest, names: tuple[str, ...] = NAMES, **values: Any) -> SourceSnapshot:
    """All certificates have a name that clusters and limits allow."""
    fit = (certificate(name, dns_names=("a.web.example.org",)) for name in names)
    return snapshot(*fit, requests=requests, **values)


def copies(config: SyncConfig, found: SourceSnapshot) -> set[str]:
    """What is copied because somebody asked for it: `cluster/namespace/name`."""
    return {
        f"{one.name}/{want.target}"
        for one in config.clusters
        for want in one.routed_copies(found.names)
        if want.requester
    }


def outcome(
    config: SyncConfig, *requests: CopyRequest, **values: Any
) -> tuple[set[str], list[tuple[Reason, str]]]:
    """What is copied on request, and what is refused."""
    now, found = granted(config, ops(*requests, **values))
    return copies(now, found), [(one.reason, one.detail) for one in found.refused_requests]


def test_what_a_limit_covers_is_copied() -> None:
    """To these places and to no others; a Certificate may have another name than its Secret."""
    asked = asks("dev/web", "dev/web-2", by=("something",))
    assert outcome(configuration(WEB, API), asked) == ({"dev/web/web-a-tls", "dev/web-2/web-a-tls"}, [])


def test_without_self_service_a_request_is_nothing() -> None:
    """Default deny: the very same configuration and snapshot, whatever Certificates say."""
    config, found = configuration(), ops(asks("dev/web"), asks(fault="x", secret="api-tls"))
    assert granted(config, found) == (config, found)
    assert granted(config, found)[0] is config
    assert granted(config, found)[1] is found


def test_a_limit_alone_copies_nothing() -> None:
    """Its clusters look at its namespaces, and send nothing there."""
    config = configuration(WEB, API)
    now, found = granted(config, ops())
    assert copies(now, found) == set()
    dev, prd = now.clusters
    assert dev.namespaces_of(None) == ("api", "own", "web", "web-2")
    assert prd.namespaces_of(None) == ("api", "own")
    assert not dev.routes_certificate("web-a-tls")
    assert dev.may_get("web-a-tls")
    assert not prd.may_get("web-a-tls")


REFUSED: dict[str, tuple[CopyRequest, Reason, str]] = {
    "a cluster that no limit is for": (
        asks("prd/web"),
        BEYOND,
        "Certificate web-a: prd/web: this cluster is not allowed by selfService[0]",
    ),
    "a namespace that the limit lacks": (
        asks("dev/api"),
        BEYOND,
        "Certificate web-a: dev/api: this namespace is not allowed by selfService[0]",
    ),
    "a Secret that no limit is for": (
        asks("dev/web", secret="own-tls"),
        BEYOND,
        "Certificate web-a: dev/web: no limit of selfService is for Secret own-tls",
    ),
    "a protected namespace": (
        asks("dev/kube-system"),
        BEYOND,
        "Certificate web-a: dev/kube-system: this namespace is not allowed by selfService[0]",
    ),
    "a cluster that does not exist": (
        asks("dve/web"),
        BEYOND,
        "Certificate web-a: dve/web: the configuration has no such cluster",
    ),
    "an annotation that can't be used": (
        asks(fault="its entry 2 is not cluster/namespace"),
        INVALID,
        "Certificate web-a: its entry 2 is not cluster/namespace",
    ),
    "two Certificates with one Secret": (
        asks("dev/web", by=("web-a", "web-z")),
        CONFLICT,
        "Certificates web-a, web-z write the same Secret, and what they ask for is not done",
    ),
    "several at once": (
        asks("dev/x", "prd/web", "dve/web", "dev/y"),
        BEYOND,
        (
            "Certificate web-a: dev/x, dev/y: this namespace is not allowed by selfService[0]; "
            "prd/web: this cluster is not allowed by selfService[0]; "
            "dve/web: the configuration has no such cluster"
        ),
    ),
    "as many as are named": (
        asks(*(f"dev/x{number}" for number in range(5))),
        BEYOND,
        (
            "Certificate web-a: dev/x0, dev/x1, dev/x2, dev/x3, dev/x4: "
            "this namespace is not allowed by selfService[0]"
        ),
    ),
    "very many": (
        asks(*(f"dev/x{number}" for number in range(100))),
        BEYOND,
        (
            "Certificate web-a: dev/x0, dev/x1, dev/x2, dev/x3, dev/x4 and 95 more: "
            "this namespace is not allowed by selfService[0]"
        ),
    ),
}


@pytest.mark.parametrize(("request_", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_names_the_certificate_and_the_limit(
    request_: CopyRequest, reason: Reason, detail: str
) -> None:
    """One row for each Certificate and reason; all that others ask for is granted."""
    other = asks("dev/api", secret="api-tls", by=("api",))
    assert outcome(configuration(WEB, API), request_, other) == ({"dev/api/api-tls"}, [(reason, detail)])


def test_what_is_sound_in_a_request_is_granted_beside_what_is_not() -> None:
    """Each place is a question of its own."""
    done, refused = outcome(configuration(WEB), asks("dev/web", "dev/api"))
    assert done == {"dev/web/web-a-tls"}
    assert [reason for reason, _ in refused] == [BEYOND]


def test_one_limit_must_cover_all_of_a_request() -> None:
    """Neither the namespace of one limit and the cluster of another, nor the names of a third."""
    elsewhere = WEB | {"labels": {"env": "prd"}, "namespaces": ["only-prd"]}
    config = configuration(WEB, elsewhere)
    done, refused = outcome(config, asks("dev/only-prd", "prd/web", "prd/only-prd"))
    assert done == {"prd/only-prd/web-a-tls"}
    assert [reason for reason, _ in refused] == [BEYOND]


CONFIGURED: dict[str, tuple[Document, set[str], list[str]]] = {
    "the same copy, by a glob": ({"certificates": ["web-*"], "namespaces": ["web"]}, set(), []),
    "the same copy, literally": ({"certificates": ["web-a-tls"], "namespaces": ["web"]}, set(), []),
    "the same copy, of a Secret that is not there": (
        {"certificates": ["web-new-*"], "namespaces": ["web"]},
        {"dev/web/web-a-tls"},
        [],
    ),
    "another certificate under this name": (
        {"certificates": ["own-tls"], "namespaces": ["web"], "name": "web-a-tls"},
        set(),
        ["Certificate web-a: dev/web: a route sends own-tls there under this name"],
    ),
    "this certificate under another name": (
        {"certificates": ["web-a-tls"], "namespaces": ["web"], "name": "cert"},
        {"dev/web/web-a-tls"},
        [],
    ),
    "this certificate to another namespace": (
        {"certificates": ["web-a-tls"], "namespaces": ["web-2"]},
        {"dev/web/web-a-tls"},
        [],
    ),
}


@pytest.mark.parametrize(("route", "done", "details"), CONFIGURED.values(), ids=CONFIGURED)
def test_a_configured_route_wins(route: Document, done: set[str], details: list[str]) -> None:
    """What it writes is not written twice; a request for another content of it is a conflict."""
    config = configuration(WEB, routes=[route])
    assert outcome(config, asks("dev/web")) == (done, [(CONFLICT, one) for one in details])


def test_a_request_costs_no_list_of_what_globs_send() -> None:
    """Ten times the certificates that a glob sends make a request no dearer: they keep their names."""
    config = configuration(WEB, routes=[{"certificates": ["zzz-*"], "namespaces": ["web", "other"]}])

    def cost(size: int) -> int:
        found = ops(asks("dev/web"), names=(*NAMES, *(f"zzz-{number}" for number in range(size))))
        assert outcome(config, asks("dev/web")) == ({"dev/web/web-a-tls"}, [])
        granted(config, found)  # which sorts the names once
        return steps(lambda: granted(config, found))

    assert cost(250) < 1.2 * cost(25)


def test_what_a_route_sends_needs_no_limit() -> None:
    """Its team has what it asks for, so nothing is refused."""
    assert outcome(configuration(WEB), asks("dev/own", secret="own-tls")) == (set(), [])


def test_a_configured_route_wins_before_ops_has_the_secret() -> None:
    """Else both would write it once it is there."""
    config = configuration(WEB, routes=[{"certificates": ["web-*"], "namespaces": ["web"]}])
    now, found = granted(config, ops(asks("dev/web"), names=()))
    assert copies(now, ops()) == set()
    assert found.refused_requests == ()


def test_no_copy_is_planned_twice() -> None:
    """Where a glob and a request name the same one, it is planned as that of the glob."""
    config = configuration(WEB, routes=[{"certificates": ["web-*"], "namespaces": ["web"]}])
    now, found = granted(config, ops(asks("dev/web", "dev/web-2")))
    targets = [want.target for want in now.clusters[0].routed_copies(found.names)]
    assert len(targets) == len(set(targets))


BY_LABEL = {"namespaceSelector": {"team": "web"}}
LATE: dict[str, tuple[Document, list[tuple[Action, Reason, str]]]] = {
    "the same copy": (
        {"certificates": ["web-a-tls"], **BY_LABEL},
        [(Action.CREATE, Reason.MISSING_ON_TARGET, "web-a-tls")],
    ),
    "another certificate under this name": (
        {"certificates": ["api-tls"], "name": "web-a-tls", **BY_LABEL},
        [
            (Action.CREATE, Reason.MISSING_ON_TARGET, "api-tls"),
            (Action.NOTHING, CONFLICT, "web-a-tls"),
        ],
    ),
}


@pytest.mark.parametrize(("route", "expected"), LATE.values(), ids=LATE)
def test_a_route_that_selects_namespaces_wins_too(
    route: Document, expected: list[tuple[Action, Reason, str]]
) -> None:
    """Only the target tells where it leads; the route's copy is written, and the wave counts it once."""
    config, found = granted(configuration(WEB, routes=[route]), ops(asks("dev/web"), cluster_id="x"))
    dev = config.clusters[0].with_selected({"team=web": ("web",)})
    made = make_plan(dev, found, (), owner=US, now=NOW)
    rows = [
        (row.action, row.reason, row.certificate) for row in made.changes if row.target.namespace == "web"
    ]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    ensure_safe(made, dev, found, (), US)
    done = tuple(replace(row, applied=row.writes) for row in made.changes)
    told = ClusterReport(cluster="dev", changes=done, selected={"team=web": ("web",)})
    assert told.ok
    assert share_of([SyncSpec(config, config.clusters[0], found)], [told]) == Share(2, 0)


def test_a_refused_request_makes_no_copy_wanted() -> None:
    """Where a glob sends an unfit Secret under this name, its row stands for no copy of that one."""
    route = {"certificates": ["api-*"], "name": "web-{1}", **BY_LABEL}
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name="api-a-tls")
    listed = ListedSecret(ref=ref, uid="u", resource_version="7", written="then")
    given = snapshot(listed, certificate("web-a-tls"), requests=(asks("dev/web"),), cluster_id="x")
    config, found = granted(configuration(WEB, routes=[route]), given)
    dev, selected = config.clusters[0], {"team=web": ("web",)}
    wants = dev.with_selected(selected).routed_copies(found.names)
    rows = tuple(refused(one, one.refusal, None) for one in wants if one.refusal)
    assert [row.reason for row in rows] == [CONFLICT]
    spec = SyncSpec(config, dev, found)
    assert share_of([spec], [ClusterReport(cluster="dev", changes=rows, selected=selected)]) == Share(0, 0)
    unfit = replace(spec, snapshot=found.corrected({"api-a-tls": rejection("api-a-tls")}))
    failed = ClusterReport(cluster="dev", failures=(failure(),), selected=selected)
    assert share_of([unfit], [failed]) == Share(0, 0)


@pytest.mark.parametrize("asking", [(), (asks("dev/web"),)])
def test_a_refused_request_changes_nothing_of_what_a_route_writes(asking: tuple[CopyRequest, ...]) -> None:
    """The copy that labels of a namespace lead there has its route's certificate and metadata."""
    metadata = {"labels": {"team": "web"}}
    route = {"certificates": ["api-tls"], "name": "web-a-tls", "metadata": metadata, **BY_LABEL}
    limited = configuration(WEB, routes=[route], allowedMetadata={"labels": ["team"]})
    config, found = granted(limited, ops(*asking))
    dev = config.clusters[0].with_selected({"team=web": ("web",)})
    none = ClusterClient.__new__(ClusterClient)
    applier = SecretApplier(None, none, SyncSpec(config, dev, found), ObservedState())
    want = applier._routed[SecretRef(namespace="web", name="web-a-tls")]
    assert (want.certificate, want.metadata.labels) == ("api-tls", metadata["labels"])


def test_what_goes_beyond_a_limit_holds_no_wave() -> None:
    """Such a copy is none that the wave is to have: it neither fails nor makes up for one that does."""
    config, found = granted(configuration(WEB), ops(asks("dev/web")))
    narrow = WEB | {"hostnames": ["other.example.org"]}
    beyond, _ = granted(configuration(narrow), ops(asks("dev/web")))
    for now, wanted in ((config, 2), (beyond, 1)):
        made = make_plan(now.clusters[0], found, (), owner=US, now=NOW)
        none = ClusterReport(cluster="dev", changes=made.changes)
        assert share_of([SyncSpec(now, now.clusters[0], found)], [none]) == Share(wanted, wanted)


def test_granting_again_replaces_what_was_granted() -> None:
    """A configuration with requests may be granted anew; what is withdrawn leaves nothing."""
    config = configuration(WEB)
    once, _ = granted(config, ops(asks("dev/web")))
    again, found = granted(once, ops(asks("dev/web-2")))
    assert copies(again, found) == {"dev/web-2/web-a-tls"}
    withdrawn, found = granted(again, ops())
    assert copies(withdrawn, found) == set()
    assert withdrawn == config


def test_a_snapshot_that_has_been_told_stays() -> None:
    """What is computed from it need not be computed again; without requests it is a smaller one."""
    config = configuration(WEB)
    _, told = granted(config, ops(asks("dev/web", "dev/x")))
    assert granted(config, told)[1] is told
    corrected = told.changed(requests=(asks("dev/web"),))
    assert granted(config, corrected)[1].refused_requests == ()
    bare = without_requests(told)
    assert bare.requests == ()
    assert bare.refused_requests == told.refused_requests
    assert without_requests(bare) is bare


def test_a_cluster_without_requests_is_the_same_object() -> None:
    """What is remembered of it, and what is computed from it, stays."""
    config = configuration(WEB, API)
    now, _ = granted(config, ops(asks("dev/web")))
    assert now.clusters[1] is config.clusters[1]


def test_requests_of_a_copy_of_ops_that_failed_are_unknown() -> None:
    """Nothing is granted where OPS could not be read."""
    config, found = configuration(WEB), SourceSnapshot(failure=failure())
    assert granted(config, found) == (config, found)


def test_unread_certificates_are_told_once() -> None:
    """A copy that may have been asked for is then neither written nor called superfluous."""
    config, found = granted(*granted(configuration(WEB), ops(requests_unread=True)))
    assert found.warnings == (UNKNOWN,)
    copy = target_secret(certificate("web-a-tls"), namespace="web")
    elsewhere = target_secret(certificate("web-a-tls"), namespace="own")
    made = make_plan(config.clusters[0], found, [copy, elsewhere], owner=US, now=NOW, certificate="web-a-tls")
    assert [(row.target.namespace, row.reason) for row in made.changes] == [
        ("own", Reason.NO_LONGER_ROUTED),
        ("web", Reason.SOURCE_UNREAD),
    ]
    assert all(row.failed == (row.reason is Reason.SOURCE_UNREAD) for row in made.changes)


def test_a_request_for_what_ops_does_not_have_fails_nothing() -> None:
    """It is as with a glob: what is missing, unfit or not issued yet has no row where no copy is."""
    for found in (
        ops(names=()),
        snapshot(rejection("web-a-tls")),
        snapshot(issuance("web-a-tls", minutes=99)),
    ):
        config, now = granted(configuration(WEB), found.changed(requests=(asks("dev/web"),)))
        made = make_plan(config.clusters[0], now, (), owner=US, now=NOW)
        assert made.changes == ()


def plan_with(dns: str, hostnames: list[str] | None = None, *limits: Document, copy: bool = False) -> Any:
    """The row of a copy that was asked for, of a certificate with this name."""
    config = configuration(*(limits or (WEB,)))
    one = certificate("web-a-tls", dns_names=(dns,))
    config, found = granted(config, snapshot(one, requests=(asks("dev/web"),)))
    dev = config.clusters[0]
    if hostnames:
        dev = dev.model_copy(update={"hostnames": tuple(hostnames)})
    there = [target_secret(certificate("web-a-tls", content="b2", age=70), namespace="web")] if copy else []
    (row,) = make_plan(dev, found, there, owner=US, now=NOW).changes
    return row


def test_the_names_of_the_certificate_count_and_not_what_was_announced() -> None:
    """A certificate that has a name beyond the limit is not copied, and no older copy is replaced by it."""
    row = plan_with("a.example.org")
    assert (row.action, row.reason) == (Action.NOTHING, BEYOND)
    assert row.detail == "Certificate web-a: selfService[0] does not allow a.example.org"
    assert not row.failed
    kept = plan_with("a.example.org", copy=True)
    assert (kept.action, kept.reason, kept.failed) == (Action.KEEP, BEYOND, False)


def test_a_limit_allows_nothing_that_the_cluster_does_not() -> None:
    """A cluster's own hostnames come first; what they forbid fails nothing, where it was asked for."""
    row = plan_with("a.web.example.org", ["*.other.example.org"])
    assert (row.action, row.reason) == (Action.NOTHING, BEYOND)
    assert row.detail == "Certificate web-a: `hostnames` does not allow a.web.example.org"


def test_of_several_limits_one_must_allow_all_names() -> None:
    """The names of two limits are not added up."""
    wide = WEB | {"hostnames": ["*.example.org"]}
    assert plan_with("a.example.org", None, WEB, wide).action is Action.CREATE
    config = configuration(WEB, wide)
    both = certificate("web-a-tls", dns_names=("a.web.example.org", "a.example.org"))
    config, found = granted(config, snapshot(both, requests=(asks("dev/web"),)))
    (row,) = make_plan(config.clusters[0], found, (), owner=US, now=NOW).changes
    assert row.reason is BEYOND


def test_no_write_goes_beyond_a_limit_whatever_the_plan_says() -> None:
    """The last check before a write knows the limits itself."""
    one = certificate("web-a-tls", dns_names=("a.web.example.org",))
    config, found = granted(configuration(WEB), snapshot(one, requests=(asks("dev/web"),), cluster_id="x"))
    made = make_plan(config.clusters[0], found, (), owner=US, now=NOW)
    ensure_safe(made, config.clusters[0], found, (), US)
    wider = found.changed(certificates=(one.model_copy(update={"dns_names": ("a.example.org",)}),))
    with pytest.raises(UnsafePlan, match="beyond the limits of selfService"):
        ensure_safe(made, config.clusters[0], wider, (), US)
    with pytest.raises(UnsafePlan, match="no route leads there"):
        ensure_safe(made, granted(configuration(WEB), ops())[0].clusters[0], found, (), US)


def test_a_note_ends_with_the_limit_that_it_was_made_under() -> None:
    """Other limits, or a route in place of the request, and the certificate is read and compared again."""
    one = certificate("web-a-tls", written="2026-01-01T00:00:00Z")
    copy = target_secret(one, namespace="web")

    def note(*limits: Document, routes: list[Document] | None = None) -> str:
        config, _ = granted(configuration(*limits, routes=routes), ops(asks("dev/web")))
        return note_of(one, copy, Rules.of(config.clusters[0], config.source))

    narrow = WEB | {"hostnames": ["a.web.example.org"]}
    sent = [{"certificates": ["web-a-tls"], "namespaces": ["web"]}]
    notes = note(WEB), note(narrow), note(WEB, narrow), note(WEB, routes=sent)
    assert len({*notes}) == 4
    assert note(WEB, API) == notes[0]
    assert note(routes=sent) == notes[3]


def test_a_resumed_run_repeats_a_cluster_whose_limits_have_changed() -> None:
    """They decide what is written, so they are part of what a task's result stands for."""

    def digest(*limits: Document) -> str:
        config, found = granted(configuration(*limits), ops(asks("dev/web")))
        return SyncSpec(config, config.clusters[0], found).digest

    assert digest(WEB) == digest(WEB)
    assert digest(WEB) != digest(WEB | {"hostnames": ["a.web.example.org"]})


def test_requests_survive_the_result_of_the_task() -> None:
    """What was read of OPS travels as JSON, and what it holds of requests is the same after that."""
    given = ops(asks("dev/web"), asks(fault="it is not text", secret="api-tls"), requests_unread=True)
    _, given = granted(configuration(WEB), given)
    assert SourceSnapshot.model_validate_json(given.model_dump_json()) == given
    assert json.loads(given.model_dump_json())["requests"][0]["asked"] == ["dev/web"]


LABELS = st.sampled_from(["dev", "prd", "lab"])
NAMESPACES = st.sampled_from(["web", "web-2", "api", "own", "kube-system"])
SECRETS = st.sampled_from([*NAMES, "zzz"])
LIMITS = st.builds(
    lambda patterns, namespaces, env: {
        "labels": {"env": env},
        "certificates": patterns,
        "namespaces": namespaces,
        "hostnames": ["*.web.example.org"],
    },
    st.lists(st.sampled_from(["web-*", "*-a-tls", "api-tls", "*"]), min_size=1, max_size=2, unique=True),
    st.lists(st.sampled_from(["web", "web-2", "api", "own"]), min_size=1, max_size=3, unique=True),
    st.sampled_from(["dev", "prd"]),
)
REQUESTS = st.builds(
    lambda secret, places: (secret, tuple(dict.fromkeys(f"{one}/{two}" for one, two in places))),
    SECRETS,
    st.lists(st.tuples(LABELS, NAMESPACES), max_size=5),
)


def is_covered(limits: list[Document], secret: str, place: str) -> bool:
    cluster, _, namespace = place.partition("/")
    return any(
        any(matches(pattern, secret) for pattern in one["certificates"])
        and one["labels"]["env"] == cluster
        and namespace in one["namespaces"]
        for one in limits
    )


@law
@given(
    limits=st.lists(LIMITS, min_size=1, max_size=4),
    requests=st.lists(REQUESTS, max_size=5, unique_by=lambda one: one[0]),
)
def test_never_beyond_the_limits_and_all_within_them(
    limits: list[Document], requests: list[tuple[str, tuple[str, ...]]]
) -> None:
    """A copy is made if it was asked for, a limit covers it and no route makes it; all else asked is told."""
    config = configuration(*limits)
    given = [asks(*places, secret=secret, by=(secret,)) for secret, places in requests]
    now, found = granted(config, ops(*given))
    wanted = {(secret, place) for secret, places in requests for place in places}
    covered = {one for one in wanted if is_covered(limits, *one)}
    expected = {f"{place}/{secret}" for secret, place in covered if secret in NAMES}
    by_route = {f"{cluster}/own/own-tls" for cluster in ("dev", "prd")}
    assert copies(now, found) == expected - by_route
    told = {one.ref.name: one for one in found.refused_requests}
    refused = {(secret, place) for secret, place in wanted - covered if f"{place}/{secret}" not in by_route}
    assert told.keys() == {secret for secret, _ in refused}
    assert all(f"Certificate {name}: " in one.detail for name, one in told.items())


def test_a_refused_request_is_a_row_of_its_secret() -> None:
    """Reports name it as they name what is unfit on OPS."""
    _, found = granted(configuration(WEB), ops(asks("dev/x")))
    ref = SecretRef(namespace=SOURCE_NAMESPACE, name="web-a-tls")
    detail = "Certificate web-a: dev/x: this namespace is not allowed by selfService[0]"
    assert found.refused_requests == (RefusedRequest(ref=ref, reason=BEYOND, detail=detail),)
