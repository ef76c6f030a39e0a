"""Placeholders in the names of a route: where certificates go by their names, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.explain import explain
from tasks.config.load import parse_config
from tasks.config.routes import Route
from tasks.config.routing import Routing
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain import names
from tasks.domain.errors import ConfigError
from tasks.domain.models import Action, SecretRef
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason
from tasks.plan.decide import make_plan
from tests.support.factories import NOW, US, certificate, law, snapshot

BY_NAME: dict[str, Any] = {
    "certificates": ["*-dev-tls"],
    "namespaces": ["{1}-dev"],
    "allowedNamespaces": ["homarr-dev", "web-dev"],
}

HOMARR, WEB = "homarr-dev-tls -> homarr-dev/homarr-dev-tls", "web-dev-tls -> web-dev/web-dev-tls"


def config(*routes: dict[str, Any]) -> SyncConfig:
    dev = {"name": "dev", "context": "c-dev", "hostnames": ["*.dev.example.org"], "routes": list(routes)}
    return parse_config({"owner": "ops", "source": {"namespace": "certificates-ops"}, "clusters": [dev]})


def cluster(*routes: dict[str, Any]) -> Cluster:
    return config(*routes).clusters[0]


def copies(to: Cluster, *held: str) -> dict[str, str]:
    """Return what goes where, or why it does not."""
    found = to.routed_copies(PatternIndex(held))
    return {f"{one.certificate} -> {one.target}": str(one.refusal or "") for one in found}


def test_a_certificate_goes_where_its_name_says() -> None:
    """{1} is what the * of the glob took; what is not among allowedNamespaces gets nothing."""
    found = copies(cluster(BY_NAME), "homarr-dev-tls", "web-dev-tls", "other-dev-tls", "homarr-rct-tls")
    assert found == {
        "homarr-dev-tls -> homarr-dev/homarr-dev-tls": "",
        "web-dev-tls -> web-dev/web-dev-tls": "",
    }


NAMED: dict[str, tuple[dict[str, Any], str]] = {
    "a fixed name in namespaces that differ": ({**BY_NAME, "name": "tls"}, "homarr-dev/tls"),
    "its own name": ({**BY_NAME, "name": "{name}"}, "homarr-dev/homarr-dev-tls"),
    "a part of its name": ({**BY_NAME, "name": "{1}-tls"}, "homarr-dev/homarr-tls"),
    "a part of its name, in a fixed namespace": (
        {"certificates": ["*-dev-tls"], "namespaces": ["ingress"], "name": "{1}.tls"},
        "ingress/homarr.tls",
    ),
    "more than its own name": (
        {"certificates": ["homarr-*"], "namespaces": ["ingress"], "name": "dev.{name}"},
        "ingress/dev.homarr-dev-tls",
    ),
    "a namespace of its own name": (
        {
            "certificates": ["homarr-dev-tls"],
            "namespaces": ["{name}"],
            "allowedNamespaces": ["homarr-dev-tls"],
        },
        "homarr-dev-tls/homarr-dev-tls",
    ),
}


@pytest.mark.parametrize(("route", "target"), NAMED.values(), ids=NAMED)
def test_a_copy_is_named_as_the_route_says(route: dict[str, Any], target: str) -> None:
    """`name` may have the same placeholders, and is the only place that safety lets it be written to."""
    to = cluster(route)
    assert copies(to, "homarr-dev-tls") == {f"homarr-dev-tls -> {target}": ""}
    namespace, _, name = target.partition("/")
    assert Routing(to).leads_to("homarr-dev-tls", SecretRef(namespace=namespace, name=name))
    assert not Routing(to).leads_to("homarr-dev-tls", SecretRef(namespace=namespace, name=f"{name}-x"))
    assert not Routing(to).leads_to("homarr-dev-tls", SecretRef(namespace="web-dev", name=name))


@pytest.mark.parametrize("taken", ["", "a.b", "-a", "a-", "a" * 64])
def test_what_is_no_dns_label_gets_a_row_and_no_copy(taken: str) -> None:
    """The certificate is refused with its own reason, and the others of the route are served."""
    name = f"{taken}-dev-tls"
    found = copies(cluster({**BY_NAME, "certificates": ["*-dev-tls"]}), name, "web-dev-tls")
    assert found == {
        f"{name} -> {{1}}-dev/{name}": "InvalidTargetName",
        "web-dev-tls -> web-dev/web-dev-tls": "",
    }


def test_a_namespace_that_gets_too_long_is_a_bad_name() -> None:
    """A label of 63 characters and a suffix are no namespace."""
    name = f"{'a' * 60}-dev-tls"
    assert list(copies(cluster(BY_NAME), name).values()) == ["InvalidTargetName"]


def test_two_certificates_for_one_secret_are_both_refused() -> None:
    """Neither is written, whichever is there already; a third one of the route is."""
    to = cluster({**BY_NAME, "certificates": ["*-dev-tls", "*-alt-tls"], "name": "tls"})
    fit = [certificate(name) for name in ("homarr-dev-tls", "homarr-alt-tls", "web-alt-tls")]
    plan = make_plan(to, snapshot(*fit), (), owner=US, now=NOW)
    assert [(row.action, row.reason, row.certificate, str(row.target)) for row in plan.changes] == [
        (Action.REFUSE, Reason.TARGET_COLLISION, "homarr-alt-tls", "homarr-dev/tls"),
        (Action.REFUSE, Reason.TARGET_COLLISION, "homarr-dev-tls", "homarr-dev/tls"),
        (Action.CREATE, Reason.MISSING_ON_TARGET, "web-alt-tls", "web-dev/tls"),
    ]
    assert plan.changes[0].detail == "homarr-alt-tls, homarr-dev-tls"


def test_one_certificate_that_two_routes_send_to_one_place_is_written_once() -> None:
    """What the routes agree about is no collision."""
    plain = {"certificates": ["web-*"], "namespaces": ["web-dev"]}
    assert copies(cluster(plain, BY_NAME), "web-dev-tls") == {WEB: ""}


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no bound": (
        {**BY_NAME, "allowedNamespaces": None},
        ["allowedNamespaces: is required where namespaces have placeholders; list all that may come out"],
    ),
    "a bound without placeholders": (
        {**BY_NAME, "namespaces": ["web-dev"]},
        ["allowedNamespaces: goes with placeholders in namespaces, as in {1}-dev; remove it"],
    ),
    "no *": (
        {**BY_NAME, "certificates": ["homarr-dev-tls", "*-dev-tls", "*-*"]},
        [f"certificates[{index}]: must have one *, since {{1}} is what it takes" for index in (0, 2)],
    ),
    "an unknown placeholder": (
        {**BY_NAME, "name": "{2}"},
        ["name: not a placeholder; {name} is the certificate's name, {1} what the * took of it"],
    ),
    "a brace alone": (
        {**BY_NAME, "namespaces": ["{1}-dev", "web}"]},
        ["namespaces[1]: not a placeholder; {name} is the certificate's name, {1} what the * took of it"],
    ),
    "what can't be a namespace": (
        {**BY_NAME, "namespaces": ["{1}_dev"]},
        [
            "allowedNamespaces[0]: none of `namespaces` can yield it; correct one of them",
            "allowedNamespaces[1]: none of `namespaces` can yield it; correct one of them",
            "namespaces[0]: not a namespace; use a DNS-1123 label: a-z, 0-9 and -, at most 63",
        ],
    ),
    "what no certificate can reach": (
        {**BY_NAME, "allowedNamespaces": ["web-dev", "web-rct"]},
        ["allowedNamespaces[1]: none of `namespaces` can yield it; correct one of them"],
    ),
    "a protected namespace": (
        {**BY_NAME, "namespaces": ["kube-{1}"], "allowedNamespaces": ["kube-system"]},
        [
            f"{key}[0]: a protected namespace (kube-*, default, cert-manager, argocd, tls-sync), to which "
            "nothing is sent; route to the application's own namespace"
            for key in ("allowedNamespaces", "namespaces")
        ],
    ),
    "labels and names": (
        {"certificates": ["web-*"], "namespaces": ["web-dev"], "namespaceSelector": {"team": "web"}},
        ["namespaces[0]: goes into a route without namespaceSelector; move it there"],
    ),
    "two bounds": (
        {**BY_NAME, "namespaceSelector": {"team": "web"}},
        ["allowedNamespaces: goes without namespaceSelector, whose labels bound it; remove one of them"],
    ),
    "no namespaces": ({"certificates": ["web-*"]}, ["namespaces: is required; add it"]),
    "a selector that is none": (
        {"certificates": ["web-*"], "namespaceSelector": {"te am": "web"}},
        ["namespaceSelector: not a label and its value, as in `team: web`"],
    ),
    "a selector of everything": (
        {"certificates": ["web-*"], "namespaceSelector": {}},
        ["namespaces: is required; add it"],
    ),
    "one name for all, in one namespace": (
        {"certificates": ["*-dev-tls"], "namespaces": ["web-dev"], "name": "tls"},
        ["name: goes with exactly one certificate, without a glob; split the route"],
    ),
}


@pytest.mark.parametrize(("route", "faults"), FAULTS.values(), ids=FAULTS)
def test_a_route_that_can_t_be_meant_is_refused(route: dict[str, Any], faults: list[str]) -> None:
    """With its path in the file and the remedy, all at once."""
    given = {key: value for key, value in route.items() if value is not None}
    with pytest.raises(ConfigError) as refused:
        config(given)
    told = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert sorted(told) == sorted(f"clusters[0] (dev).routes[0].{fault}" for fault in faults)


LABELS = st.text("ab-.", max_size=6)


@law
@given(st.lists(LABELS, max_size=8), st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, unique=True))
def test_nothing_goes_beyond_the_allowed_namespaces(taken: list[str], allowed: list[str]) -> None:
    """Whatever certificates are called: each copy is in an allowed namespace, under a valid name, alone."""
    bound = [f"{one}-dev" for one in allowed]
    to = cluster(
        {**BY_NAME, "allowedNamespaces": bound, "certificates": ["*-tls", "*-alt-tls"], "name": "tls"}
    )
    found = [one for one in to.routed_copies(PatternIndex(f"{one}-tls" for one in taken)) if not one.refusal]
    assert {one.target.namespace for one in found} <= set(bound)
    assert all(names.is_name(one.target.name) for one in found)
    assert len({one.target for one in found}) == len(found)
    assert set(to.namespaces_of(None)) == set(bound)


def test_an_explanation_says_where_it_goes_and_where_not() -> None:
    """The filled names, what is not allowed, and what is no valid name."""
    given = config(BY_NAME)
    assert "to homarr-dev/homarr-dev-tls" in explain(given, "dev", "homarr-dev-tls")[1]
    assert explain(given, "dev", "other-dev-tls")[1:3] == [
        "  clusters[0] (dev).routes[0] sends it, by '*-dev-tls', to no namespace",
        "  not to other-dev: the route's `allowedNamespaces` don't have it",
    ]
    assert Reason.INVALID_TARGET_NAME.sentence in explain(given, "dev", "a.b-dev-tls")[1]


BY_LABEL = {"certificates": ["*-dev-tls"], "namespaceSelector": {"receives": "web"}}


def test_labels_of_namespaces_bound_what_placeholders_yield() -> None:
    """Without placeholders each namespace with the label gets a copy, with them the one of the name."""
    found = {"receives=web": ("homarr-dev", "other")}
    everywhere = cluster(BY_LABEL)
    assert everywhere.selectors_of(None) == ("receives=web",)
    assert everywhere.selectors_of("homarr-tls") == ()
    assert copies(everywhere, "homarr-dev-tls") == {}
    assert set(copies(everywhere.with_selected(found), "homarr-dev-tls")) == {
        HOMARR,
        "homarr-dev-tls -> other/homarr-dev-tls",
    }
    by_name = cluster({**BY_LABEL, "namespaces": ["{1}-dev"]}).with_selected(found)
    assert copies(by_name, "homarr-dev-tls", "web-dev-tls") == {HOMARR: ""}


def test_a_certificate_for_a_namespace_by_name_and_by_label_is_written_once() -> None:
    """Routes that agree about a copy do not collide; two certificates under one name do."""
    plain = {"certificates": ["homarr-dev-tls"], "namespaces": ["homarr-dev"]}
    found = {"receives=web": ("homarr-dev",)}
    assert copies(cluster(plain, BY_LABEL).with_selected(found), "homarr-dev-tls") == {HOMARR: ""}
    renamed = {**plain, "certificates": ["web-dev-tls"], "name": "homarr-dev-tls"}
    both = copies(cluster(renamed, BY_LABEL).with_selected(found), "homarr-dev-tls", "web-dev-tls")
    assert both[HOMARR] == both["web-dev-tls -> homarr-dev/homarr-dev-tls"] == "TargetCollision"


def test_an_explanation_names_the_label() -> None:
    """Which namespaces have it, the target tells."""
    (line, *_) = explain(config(BY_LABEL), "dev", "homarr-dev-tls")[1:]
    assert line.endswith("to namespaces of dev with the label receives=web, where it is bound")


ROUTES_OF_ALL_KINDS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        certificates=st.lists(st.sampled_from(["*-tls", "a*-tls", "*b-tls"]), min_size=1, max_size=2),
        namespaces=st.sampled_from([["{1}-dev"], ["{name}", "{1}-dev"]]),
        allowedNamespaces=st.just(["a-dev", "ab-dev", "a-tls"]),
        name=st.sampled_from(["{name}", "tls", "{1}-tls", "x-{1}", "{name}-{1}"]),
    ),
    min_size=1,
    max_size=3,
)


@law
@given(ROUTES_OF_ALL_KINDS, st.sets(st.sampled_from(["a-tls", "ab-tls", "b-tls", "x-a-tls", "aab-tls"])))
def test_a_renewal_asks_few_routes_and_sees_each_collision(
    routes: list[dict[str, Any]], held: set[str]
) -> None:
    """What the watcher asks of one certificate agrees with the list of all copies."""
    to = config({"certificates": ["other"], "namespaces": ["web"]}).clusters[0]
    to = to.model_copy(update={"routes": tuple(map(Route.model_validate, routes))})
    available = PatternIndex(held)
    refused = {one.certificate for one in to.routed_copies(available) if one.refusal}
    assert {name for name in held if to.collides(name, available)} == refused


def test_selectors_that_may_write_the_same_name_count_for_a_certificate() -> None:
    """A run for one certificate asks for labels of routes that could put another one under its name."""
    shared = {**BY_LABEL, "certificates": ["web-tls"], "name": "shared"}
    elsewhere = {**BY_LABEL, "certificates": ["web-tls"], "namespaceSelector": {"receives": "api"}}
    own = {"certificates": ["api-tls"], "namespaces": ["api"], "name": "shared"}
    assert cluster(shared, elsewhere, own).selectors_of("api-tls") == ("receives=web",)
    assert cluster(shared, elsewhere, own).selectors_of("other-tls") == ()
