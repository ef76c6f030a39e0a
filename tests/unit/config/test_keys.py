"""Which keys beside tls.crt, tls.key and ca.crt a route may send."""

from typing import Any

import pytest

from tasks.config.load import parse_config
from tasks.config.routing import Routing
from tasks.domain.errors import ConfigError
from tasks.domain.further_keys import COMPARED_KEYS, FURTHER_KEYS, KEYSTORES
from tasks.domain.models import SecretRef
from tasks.domain.patterns import PatternIndex
from tasks.plan.further import warn_of_keystores

PATH = "clusters[0] (dev).routes[0]"
UNVERIFIED = "can't be verified, since its password is never read; add `unverified: true`, or remove it"


def document(**values: Any) -> dict[str, Any]:
    route = {"certificates": ["web-tls"], "namespaces": ["web"], **values}
    cluster = {"name": "dev", "context": "dev", "hostnames": ["*.example.org"], "routes": [route]}
    return {"owner": "ops", "source": {"namespace": "certificates-ops"}, "clusters": [cluster]}


def faults(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(document(**values))
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


def test_a_route_sends_no_further_key_by_default() -> None:
    """A file without `keys` means what it meant."""
    (dev,) = parse_config(document()).clusters
    assert dev.further_keys == frozenset()
    (copy,) = dev.routed_copies(PatternIndex([]))
    assert copy.keys == frozenset()
    assert warn_of_keystores(dev) == []


def test_combined_formats_are_sent_where_a_route_names_them() -> None:
    """Every copy of the route gets them, and no copy of another route."""
    given = document(keys=sorted(COMPARED_KEYS))
    given["clusters"][0]["routes"].append({"certificates": ["a-tls"], "namespaces": ["web"]})
    (dev,) = parse_config(given).clusters
    assert {one.certificate: one.keys for one in dev.routed_copies(PatternIndex([]))} == {
        "a-tls": frozenset(),
        "web-tls": COMPARED_KEYS,
    }
    assert dev.further_keys == COMPARED_KEYS
    routing = Routing(dev)
    assert routing.keys_to("web-tls", SecretRef(namespace="web", name="web-tls")) == COMPARED_KEYS
    assert routing.keys_to("a-tls", SecretRef(namespace="web", name="a-tls")) == frozenset()
    assert routing.keys_to("web-tls", SecretRef(namespace="web", name="other")) == frozenset()
    assert warn_of_keystores(dev) == []


def test_copies_by_placeholders_get_them_too() -> None:
    """Wherever the name of the certificate leads."""
    values = {
        "certificates": ["*-tls"],
        "namespaces": ["{1}"],
        "allowedNamespaces": ["web"],
        "keys": ["key.der"],
    }
    (dev,) = parse_config(document(**values)).clusters
    (copy,) = dev.routed_copies(PatternIndex(["web-tls"]))
    assert copy.keys == {"key.der"}
    assert Routing(dev).keys_to("web-tls", copy.target) == {"key.der"}


@pytest.mark.parametrize("key", sorted(KEYSTORES))
def test_a_keystore_is_sent_only_where_the_route_says_so(key: str) -> None:
    """Nobody can verify it; reports then say that it is sent."""
    for values in ({}, {"unverified": False}):
        assert faults(keys=["key.der", key], **values) == [f"{PATH}.keys[1]: {UNVERIFIED}"]
    (dev,) = parse_config(document(keys=["key.der", key], unverified=True)).clusters
    told = f"copied without verification, as the routes say (unverified: true): {key} of web-tls"
    assert warn_of_keystores(dev) == [told]


def test_unverified_says_nothing_of_what_is_verified() -> None:
    """A combined format is compared whatever the route says, so the key would mislead."""
    told = [f"{PATH}.unverified: goes with a keystore among `keys`; remove it"]
    assert faults(unverified=True) == faults(keys=["key.der"], unverified=True) == told


@pytest.mark.parametrize("key", ["tls.crt", "tls.key", "ca.crt"])
def test_what_is_always_sent_is_not_named(key: str) -> None:
    """Else its absence from the list would seem to mean something."""
    assert faults(keys=[key]) == [f"{PATH}.keys[0]: is always copied; remove it"]


@pytest.mark.parametrize(
    "key", ["", "config", "tls-combined.pem ", "KEY.DER", "keystore.p12.bak", "../tls.key"]
)
def test_any_other_key_is_refused(key: str) -> None:
    """Nothing else of a Secret on OPS ever leaves it."""
    known = ", ".join(sorted(FURTHER_KEYS))
    assert faults(keys=[key]) == [f"{PATH}.keys[0]: not a key that cert-manager writes; there are {known}"]


@pytest.mark.parametrize(
    ("values", "path"),
    [({"keys": "key.der"}, "keys"), ({"keys": [1]}, "keys[0]"), ({"unverified": "yes"}, "unverified")],
    ids=str,
)
def test_values_of_other_types_are_refused(values: dict[str, Any], path: str) -> None:
    """With the path of the value."""
    (found,) = faults(**values)
    assert found.startswith(f"{PATH}.{path}: must be ")
