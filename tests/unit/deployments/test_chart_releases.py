"""Two releases on one OPS have no object in common."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.support.chart import VALUES, Manifest, render

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

RELEASES = (
    ("tls-sync", "tls-sync"),
    ("tls-sync-web", "tls-sync"),
    ("tls-sync-web", "web"),
    ("certificates-ops", "tls-sync"),
    ("a-b", "c"),
    ("a", "b-c"),
)
"""Namespace and name of each release; all read the same source."""
RESYNC: dict[str, Any] = {
    **VALUES["everything"],
    "watch": {"enabled": True, "podMonitor": {"enabled": True}},
    "prometheusRule": {"enabled": True},
}


def identity(manifest: Manifest, namespace: str) -> tuple[str, str, str]:
    """Return kind, namespace and name, which identify an object."""
    kind, metadata = manifest["kind"], manifest["metadata"]
    return kind, "" if kind.startswith("Cluster") else metadata.get("namespace", namespace), metadata["name"]


@pytest.fixture(scope="module")
def rendered() -> dict[tuple[str, str], list[Manifest]]:
    return {(namespace, name): render(RESYNC, namespace, name) for namespace, name in RELEASES}


def test_no_two_releases_share_an_object(rendered: dict[tuple[str, str], list[Manifest]]) -> None:
    """No object outside of their namespaces is in both, whatever the names of releases and namespaces."""
    objects = {
        release: {identity(manifest, release[0]) for manifest in manifests}
        for release, manifests in rendered.items()
    }
    for one, other in combinations(RELEASES, 2):
        if one[0] != other[0]:  # a namespace has one release: Helm refuses a second one there
            assert objects[one] & objects[other] == set()
    outside = {release: {o for o in found if o[1] != release[0]} for release, found in objects.items()}
    for one, other in combinations(RELEASES, 2):
        assert outside[one] & outside[other] == set()
    assert all(len(manifests) == len(objects[release]) for release, manifests in rendered.items())


def test_what_is_outside_of_the_namespace_serves_its_own_release(
    rendered: dict[tuple[str, str], list[Manifest]],
) -> None:
    """Each binding names a role of its own release, and only accounts of its own namespace."""
    for (namespace, _), manifests in rendered.items():
        roles = {identity(one, namespace) for one in manifests if one["kind"].endswith("Role")}
        for binding in (one for one in manifests if one["kind"].endswith("RoleBinding")):
            kind, where, _ = identity(binding, namespace)
            assert (kind.removesuffix("Binding"), where, binding["roleRef"]["name"]) in roles
            assert {subject["namespace"] for subject in binding["subjects"]} == {namespace}


def test_dashboards_do_not_replace_each_other(rendered: dict[tuple[str, str], list[Manifest]]) -> None:
    """Dashboards have different files, uids and titles, which must be unique in a Grafana."""
    shown = [
        one["data"]
        for found in rendered.values()
        for one in found
        if one["metadata"]["name"].endswith("dashboard")
    ]
    files = [name for data in shown for name in data]
    boards = [json.loads(text) for data in shown for text in data.values()]
    assert len(set(files)) == len({one["uid"] for one in boards}) == len(RELEASES)
    assert len({one["title"] for one in boards}) == len(RELEASES)
    assert max(len(one["uid"]) for one in boards) <= 40
