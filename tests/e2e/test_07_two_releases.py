"""A second tls-sync on the same OPS: another team's, with its own certificates, owner and account."""

import json
from collections.abc import Iterator

import pytest
import yaml

from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.world import oracle
from deployments.sandbox.world.cert_manager import Issuer
from deployments.sandbox.world.kubeconfig import context_name
from deployments.sandbox.world.oracle import Evidence, Place
from tasks.config.schema import SyncConfig
from tasks.setup.manifests import render
from tests.e2e import inventory
from tests.e2e.machine import NAMESPACE, PASSWORD_SECRET, Machine, make_secrets
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import YEARLY, Release, values

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HERE, SOURCE, ACCOUNT = "tls-sync-web", "certificates-web", "tls-sync-web"
"""The second release's namespace, that of its certificates, and its account on the target."""
TARGET = "web-dev"
COPY = Place("dev", TARGET, "shop-tls")


@pytest.fixture(scope="module")
def config(machine: Machine) -> SyncConfig:
    cluster = {
        "name": "dev",
        "context": context_name("dev"),
        "clusterId": machine.sandbox.cluster("dev").admin.cluster_id(),
        "hostnames": ["*.web.example.org"],
        "routes": [{"certificates": [COPY.name], "namespaces": [TARGET]}],
    }
    return SyncConfig.model_validate({"owner": "web", "source": {"namespace": SOURCE}, "clusters": [cluster]})


@pytest.fixture(scope="module")
def second(machine: Machine, release: Release, prefect: PrefectAPI, config: SyncConfig) -> Iterator[Release]:
    """The second release, installed while the first is suspended; deleted with its namespaces at the end."""
    release.upgrade(schedule=YEARLY)
    prefect.await_rest()
    ops, dev = machine.ops, machine.sandbox.cluster("dev")
    for admin, namespace in ((ops, SOURCE), (dev.admin, TARGET)):
        admin.namespace(namespace)
    ops.create(Issuer(SOURCE).secret(COPY.name, ["shop.web.example.org"]))
    manifests = render(config.clusters, ACCOUNT)
    machine.kubectl("--context=cluster-dev", "apply", "--server-side", "--filename=-", text=manifests)
    make_secrets(machine, HERE, _kubeconfig(machine, dev.admin.token(ACCOUNT, ACCOUNT, 86400)))
    found = Release(machine, _values(machine, config), HERE, "web")
    found.install()
    yield found
    for namespace in (HERE, SOURCE):
        machine.kubectl("delete", "namespace", namespace)


def _values(machine: Machine, config: SyncConfig) -> dict[str, object]:
    mine = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {
        **values(machine),
        "tlsSync": {"schedule": YEARLY, "config": mine},
        "prefect": {"authSecret": {"name": PASSWORD_SECRET}, "server": {"persistence": {"enabled": False}}},
        "results": {"persistence": {"enabled": False}},
        "watch": {"enabled": True},
    }


def _kubeconfig(machine: Machine, token: str) -> str:
    """Return the administrator's entry of dev, with the second account's token."""
    document = yaml.safe_load(machine.kubeconfig.read_text())
    name = context_name("dev")
    clusters = [one for one in document["clusters"] if one["name"] == name]
    contexts = [one for one in document["contexts"] if one["name"] == name]
    users = [{"name": name, "user": {"token": token}}]
    entries = {"clusters": clusters, "contexts": contexts, "users": users, "current-context": name}
    return json.dumps({**document, **entries})


def test_each_serves_its_own_certificates(machine: Machine, prefect: PrefectAPI, second: Release) -> None:
    """A run of the second release writes its copy under its owner; a run of the first then writes nothing."""
    before = oracle.look(machine.sandbox)
    run = second.prefect.carry_out()
    between = oracle.look(machine.sandbox)
    assert run.state == "Completed", run
    found = machine.sandbox.cluster("dev").admin.secret(TARGET, COPY.name)
    source = machine.ops.secret(SOURCE, COPY.name)
    assert found is not None
    assert source is not None
    assert {key: found["data"][key] for key in ("tls.crt", "tls.key")} == {
        key: source["data"][key] for key in ("tls.crt", "tls.key")
    }
    assert found["metadata"]["labels"]["tls-sync.io/owner"] == "web"
    assert Evidence(before, between).updated == set()
    run = prefect.carry_out()
    evidence = Evidence(between, oracle.look(machine.sandbox))
    assert run.state == "Completed", run
    assert evidence.updated | evidence.created == set()


def may_list(admin: Admin, namespace: str, account: str, where: str) -> bool:
    """Ask the API server whether an account may list Secrets."""
    asked = {"verb": "list", "resource": "secrets", "namespace": where}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{namespace}:{account}", "resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(admin.post(path, review)["status"]["allowed"])


def test_neither_may_read_what_the_other_serves(machine: Machine, second: Release) -> None:
    """On OPS each account may read only its own source, and on the target only its own namespaces."""
    for namespace, own, other in (
        (NAMESPACE, "certificates-ops", SOURCE),
        (HERE, SOURCE, "certificates-ops"),
    ):
        assert may_list(machine.ops, namespace, "tls-sync", own)
        assert not may_list(machine.ops, namespace, "tls-sync", other)
    dev = machine.sandbox.cluster("dev").admin
    for account, own, other in (("tls-sync", "homarr-dev", TARGET), (ACCOUNT, TARGET, "homarr-dev")):
        assert may_list(dev, account, account, own)
        assert not may_list(dev, account, account, other)


def test_the_first_is_whole_when_the_second_has_gone(
    machine: Machine, prefect: PrefectAPI, second: Release
) -> None:
    """An uninstall deletes nothing of the other release, whose next run is Completed."""
    before = inventory.objects(machine)
    second.uninstall()
    gone = before - inventory.objects(machine)
    assert {where for _, where, _ in gone} <= {HERE, SOURCE, "<none>"}
    outside = {name for kind, where, name in gone if where != HERE and kind != "IPAddress"}  # of its Service
    assert outside, "it has left its roles behind"
    assert all(name.endswith(f":{HERE}:web") for name in outside), outside
    assert prefect.crons() == [YEARLY]
    run = prefect.carry_out()
    assert run.state == "Completed", run
