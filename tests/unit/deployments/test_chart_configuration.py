"""What the configuration may not have in a release, although another place may: the chart refuses it."""

from typing import Any

import pytest
import yaml

from tasks.config.load import parse_config
from tasks.config.schema import Source
from tasks.setup.manifests import ops_manifests
from tests.support.chart import CHART, NAMESPACES, refusal, render

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

UID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"
"""As `kubectl get namespace kube-system -o jsonpath={.metadata.uid}` prints it."""


def configured(**changes: Any) -> dict[str, Any]:
    """Values with the configuration of the chart's example, and these keys of it replaced."""
    given = yaml.safe_load((CHART / "ci" / "values.yaml").read_text())["tlsSync"]["config"]
    return {"tlsSync": {"config": {**given, **changes}}}


def pinned(uid: str) -> list[dict[str, Any]]:
    """Return one cluster with this clusterId."""
    (cluster,) = configured()["tlsSync"]["config"]["clusters"]
    return [{**cluster, "clusterId": uid}]


@pytest.mark.parametrize("owner", ["", "Ops", "ops team", "-ops", "o" * 64])
def test_an_owner_is_a_name(owner: str) -> None:
    """An owner that a run would refuse is refused by the chart, with the value and an example."""
    said = refusal(configured(owner=owner))
    assert f'tlsSync.config.owner "{owner}" is not a name' in said
    assert "e.g. ops" in said


def test_runs_of_a_release_read_ops_as_themselves() -> None:
    """A context for OPS is refused, unless the values say that the release makes no Role for it."""
    source = {"namespace": "certificates-ops", "context": "cluster-ops"}
    said = refusal(configured(source=source))
    assert 'tlsSync.config.source.context "cluster-ops" is for runs outside of OPS' in said
    assert "Remove source.context" in said
    assert "tlsSync.sourceRole=false" in said
    values = configured(source=source)
    assert render({"tlsSync": {**values["tlsSync"], "sourceRole": False}})
    assert render(configured(source={**source, "context": None}))


@pytest.mark.parametrize("uid", ["abc", "", UID.upper(), UID[1:], f"{UID}\n", "00000000-0000"])
def test_a_cluster_is_pinned_by_a_uid(uid: str) -> None:
    """A clusterId of another form than a uid's is refused, wherever the configuration has one."""
    assert "'/tlsSync/config/clusters/0/clusterId'" in refusal(configured(clusters=pinned(uid)))
    source = {"namespace": "certificates-ops", "clusterId": uid}
    assert "'/tlsSync/config/source/clusterId'" in refusal(configured(source=source))
    former = {"namespace": "certificates-ops", "formerClusterIds": [uid]}
    assert "'/tlsSync/config/source/formerClusterIds/0'" in refusal(configured(source=former))


def test_a_uid_is_taken() -> None:
    """What a cluster prints as its uid is taken in all three places, and so is a cluster without one."""
    source = {"namespace": "certificates-ops", "clusterId": UID, "formerClusterIds": [UID]}
    assert render(configured(source=source, clusters=pinned(UID)), NAMESPACES[0])
    (cluster,) = pinned(UID)
    assert render(configured(clusters=[{**cluster, "clusterId": None}]))


def test_only_what_asks_for_events_may_create_them() -> None:
    """The Role on OPS is that of `tls-sync rights manifests --ops`, with and without `source.events`."""
    for events in (None, False, True):
        source = {"namespace": "certificates-ops"} | ({} if events is None else {"events": events})
        rendered = render(configured(source=source))
        (role,) = (
            one
            for one in rendered
            if one["kind"] == "Role" and one["metadata"].get("namespace") == "certificates-ops"
        )
        (wanted,) = (one for one in ops_manifests(Source.model_validate(source)) if one["kind"] == "Role")
        assert role["rules"] == wanted["rules"]
        assert (["events"] in [rule["resources"] for rule in role["rules"]]) is bool(events)


@pytest.mark.parametrize("watch", [False, True])
def test_credentials_are_read_by_name_alone(watch: bool) -> None:
    """With `credentials`, the accounts of runs and watcher may get Secrets of that namespace, and no more."""
    (cluster,) = configured()["tlsSync"]["config"]["clusters"]
    own = {key: value for key, value in cluster.items() if key != "context"}
    changed = configured(credentials={"namespace": "tls-sync-credentials"}, clusters=[own])
    rendered = render({**changed, "watch": {"enabled": watch}})
    there = [one for one in rendered if one["metadata"].get("namespace") == "tls-sync-credentials"]
    role, binding = sorted(there, key=lambda one: len(one["kind"]))
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    accounts = {one["name"] for one in binding["subjects"]}
    assert accounts == ({"tls-sync", "tls-sync-watch"} if watch else {"tls-sync"})
    assert not [one for one in render() if one["metadata"].get("namespace") == "tls-sync-credentials"]


@pytest.mark.parametrize("watch", [False, True])
def test_only_where_clusters_announce_themselves_profiles_may_be_read(watch: bool) -> None:
    """The Role is that of `tls-sync rights manifests --ops`; the configuration needs no cluster then."""
    discover = {"clusterProfiles": {"namespace": "fleet"}}
    changed = configured(credentials={"namespace": "tls-sync-credentials"}, discover=discover)
    shared = {"labels": {"env": "prd"}}
    changed["tlsSync"]["config"] |= {
        "hostnames": [{**shared, "names": ["*.example.org"]}],
        "routes": [{**shared, "certificates": ["web-*"], "namespaces": ["web"]}],
    }
    del changed["tlsSync"]["config"]["clusters"]
    rendered = render({**changed, "watch": {"enabled": watch}})
    there = [one for one in rendered if one["metadata"].get("namespace") == "fleet"]
    role, binding = sorted(there, key=lambda one: len(one["kind"]))
    config = parse_config(changed["tlsSync"]["config"])
    wanted = [
        one
        for one in ops_manifests(config.source, discover=config.discover)
        if one["metadata"].get("namespace") == "fleet"
    ]
    assert role["rules"] == wanted[0]["rules"]
    assert role["rules"][0]["verbs"] == ["get", "list"]
    accounts = {one["name"] for one in binding["subjects"]}
    assert accounts == ({"tls-sync", "tls-sync-watch"} if watch else {"tls-sync"})
    assert not [one for one in render() if one["metadata"].get("namespace") == "fleet"]
