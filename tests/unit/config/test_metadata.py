"""Which labels and annotations a route may give to its copies."""

from typing import Any

import pytest
import yaml

from tasks.config.load import parse_config
from tasks.config.metadata import Metadata
from tasks.config.values import MAX_ANNOTATION_BYTES
from tasks.domain import annotations
from tasks.domain.errors import ConfigError
from tasks.domain.models import MetadataKeys
from tests.unit.docs.pages import page

RELOADER = "reloader.stakater.com/match"
ALLOWED = {"labels": ["team"], "annotations": [RELOADER]}
GIVEN: dict[str, dict[str, Any]] = {"labels": {"team": "web"}, "annotations": {RELOADER: "true"}}


def document(metadata: Any, allowed: Any = ALLOWED, *, shared: bool = False) -> dict[str, Any]:
    route = {"certificates": ["web-tls"], "namespaces": ["web"], "metadata": metadata}
    cluster: dict[str, Any] = {"name": "dev", "context": "dev", "hostnames": ["*.example.org"]}
    cluster |= {"routes": [{"certificates": ["a-tls"], "namespaces": ["web"]}]}
    made: dict[str, Any] = {"owner": "ops", "source": {"namespace": "certificates-ops"}}
    made |= {"allowedMetadata": allowed} if allowed is not None else {}
    if shared:
        made["routes"] = [{**route, "clusters": ["dev"]}]
    else:
        cluster["routes"].append(route)
    return {**made, "clusters": [cluster]}


def faults(given: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(given)
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


@pytest.mark.parametrize("shared", [False, True])
def test_a_route_gives_what_is_allowed(shared: bool) -> None:
    """Own and shared routes alike; of a copy's metadata, only these keys are read in that cluster."""
    (dev,) = parse_config(document(GIVEN, shared=shared)).clusters
    assert [one.metadata for one in dev.routes] == [Metadata(), Metadata.model_validate(GIVEN)]
    assert dev.given_metadata == (Metadata.model_validate(GIVEN),)
    assert dev.metadata_keys == MetadataKeys(frozenset({"team"}), frozenset({RELOADER}))


@pytest.mark.parametrize("allowed", [None, {}, {"labels": [RELOADER], "annotations": ["team"]}], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_nothing_is_given_that_is_not_allowed(allowed: Any, shared: bool) -> None:
    """By default no key is; one that is allowed for annotations is not for labels."""
    path = "routes[0]" if shared else "clusters[0] (dev).routes[1]"
    parts = {"labels": "team", "annotations": RELOADER}
    assert faults(document(GIVEN, allowed, shared=shared)) == [
        f"{path}.metadata.{part}: {key} is not in allowedMetadata.{part}; add it there, or remove it"
        for part, key in parts.items()
    ]


RESERVED = {
    annotations.MANAGED_BY: "Kubernetes",
    "app.kubernetes.io/instance": "Kubernetes",
    annotations.OWNER: "tls-sync",
    annotations.ADOPT: "tls-sync",
    annotations.ROUTE_METADATA: "tls-sync",
    annotations.LAST_APPLIED: "Kubernetes",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "meta.helm.sh/release-name": "Helm",
    "helm.sh/chart": "Helm",
    "cert-manager.io/certificate-name": "cert-manager",
    "acme.cert-manager.io/http01-edit-in-place": "cert-manager",
    "controller.cert-manager.io/fao": "cert-manager",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "kapp.k14s.io/app": "kapp",
    "objectset.rio.cattle.io/hash": "Rancher",
    "applyset.kubernetes.io/part-of": "Kubernetes",
    "addonmanager.kubernetes.io/mode": "Kubernetes",
    "kubernetes.io/service-account.name": "Kubernetes",
    "config.k8s.io/owning-inventory": "Kubernetes",
    "clusterctl.cluster.x-k8s.io/move": "Kubernetes",
}


@pytest.mark.parametrize("part", ["labels", "annotations"])
@pytest.mark.parametrize(("key", "tool"), RESERVED.items())
def test_keys_of_tools_that_manage_objects_are_never_allowed(part: str, key: str, tool: str) -> None:
    """With one of them, a copy would be taken for that tool's, and changed or deleted by it."""
    assert faults(document({}, {part: [key]})) == [
        f"allowedMetadata.{part}[0]: a key of {tool}, which would act on the copy; allow keys of its readers"
    ]


READERS = [
    "team",
    RELOADER,
    "reflector.v1.k8s.emberstack.com/reflection-allowed",
    "replicator.v1.mittwald.de/replicate-to",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "notcert-manager.io/a",
    "helm.sh.example.org/a",
]


@pytest.mark.parametrize("key", READERS)
def test_keys_of_readers_are_allowed(key: str) -> None:
    """Those of an application, or of a tool that reads Secrets, or that only describe."""
    allowed = {"labels": [key], "annotations": [key]}
    parse_config(document({"labels": {key: "1"}, "annotations": {key: "1"}}, allowed))


@pytest.mark.parametrize("key", ["", "a b", "-a", "a" * 64, "A.io/x", "a..b/x", "a/b/c", "/a", "a/", "é"])
def test_a_key_is_one_as_kubernetes_has_it(key: str) -> None:
    """Else the API server would refuse each copy."""
    (fault,) = faults(document({}, {"labels": [key]}))
    assert fault.startswith("allowedMetadata.labels[0]: not the key of a label or annotation")


BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "a label with a space": ({"labels": {"team": "a b"}}, "metadata.labels: not a label and its value"),
    "a label that is too long": (
        {"labels": {"team": "a" * 64}},
        "metadata.labels: not a label and its value",
    ),
    "a truth value": ({"annotations": {RELOADER: True}}, f"metadata.annotations.{RELOADER}: must be text;"),
    "too much": (
        {"annotations": {RELOADER: "a" * MAX_ANNOTATION_BYTES}},
        "metadata.annotations: are more than 64 KiB, with their keys; shorten them",
    ),
    "half of a pair": ({"annotations": {RELOADER: "\ud800"}}, "metadata.annotations: text that is not valid"),
    "another part": ({"finalizers": []}, "metadata.finalizers: unknown key; correct or remove it"),
}


@pytest.mark.parametrize(("metadata", "fault"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_value_is_one_as_kubernetes_has_it(metadata: dict[str, Any], fault: str) -> None:
    """Labels by their characters, annotations by their size; the message never shows the value."""
    (found,) = faults(document(metadata))
    assert found.startswith(f"clusters[0] (dev).routes[1].{fault}")


def test_an_annotation_may_be_any_text() -> None:
    """Also one of several lines, or of the size that is just allowed."""
    size = MAX_ANNOTATION_BYTES - len(RELOADER)
    for text in ("", "a b\nc: é", "a" * size, "é" * (size // 2)):
        parse_config(document({"annotations": {RELOADER: text}}))


def test_all_faults_are_told_at_once() -> None:
    """Bad keys in the list, and keys of routes that are not in it."""
    given = document({"labels": {"tier": "1", "team": "web"}}, {"labels": ["team", "helm.sh/chart"]})
    assert [one.partition(": ")[0] for one in faults(given)] == [
        "allowedMetadata.labels[1]",
        "clusters[0] (dev).routes[1].metadata.labels",
    ]


@pytest.mark.parametrize(("name", "title"), [("reference.md", "Labels"), ("fr/reference.md", "Des labels")])
def test_the_guides_example_is_a_configuration(name: str, title: str) -> None:
    """What the guide shows can be pasted, and gives what it says."""
    text = page(name).text.split(f"\n## {title} ")[1]
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    (dev,) = parse_config({"owner": "ops", "source": {"namespace": "certificates-ops"}} | example).clusters
    assert dev.given_metadata == (Metadata.model_validate(GIVEN),)
