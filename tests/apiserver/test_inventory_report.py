"""The inventory on real API servers and TLS servers: it reports what is there, and writes nothing."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox.world.cert_manager import leaf_of
from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.domain.models import ServedMatch
from tasks.inventory import summary, table
from tasks.inventory.collect import collect_inventory
from tasks.inventory.model import CopyState, InventoryReport, Status
from tasks.metrics.served_samples import ServedByCluster
from tests.support import tls_server
from tests.support.clusters import ROUTES, TARGETS, World
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.secret_scan import found_in
from tests.support.tls_server import listening

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]
SECONDS = 60


def look(cluster: str | None = None, certificate: str | None = None) -> InventoryReport:
    return collect_inventory(load_config(), cluster, certificate)


def of(found: InventoryReport, cluster: str = "dev", certificate: str = "web-tls") -> CopyState:
    (one,) = [one for one in found.copies if (one.cluster, one.certificate) == (cluster, certificate)]
    return one


def statuses(found: InventoryReport, certificate: str = "web-tls") -> dict[str, str]:
    return {one.cluster: str(one.status) for one in found.copies if one.certificate == certificate}


def test_every_copy_has_its_status(world: World) -> None:
    """A copy is missing before the first run, in sync after it; then stale, drifted or foreign."""
    (secret,) = world.issue("web-tls")
    assert statuses(look()) == dict.fromkeys(TARGETS, "missing")
    world.run()
    assert statuses(look()) == dict.fromkeys(TARGETS, "in sync")
    assert look().ok
    world.admin("rct").patch(
        "/api/v1/namespaces/app-a/secrets/web-tls", {"data": {"tls.key": base64.b64encode(b"x").decode()}}
    )
    copy = world.copy("web-tls", "prd")
    assert copy is not None
    world.admin("prd").delete("/api/v1/namespaces/app-a/secrets/web-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"])
    foreign["metadata"]["namespace"] = "app-a"
    world.put(foreign, "prd")
    assert statuses(look()) == {"dev": "in sync", "rct": "drifted", "prd": "foreign"}
    world.renew(secret)
    found = look()
    assert statuses(found)["dev"] == "stale"
    assert not found.ok


def test_a_copy_has_its_facts(world: World) -> None:
    """Serial and expiry are those of the certificate; the age counts from the write."""
    (secret,) = world.issue("web-tls")
    before = datetime.now(UTC) - timedelta(seconds=2)  # the server's time has whole seconds
    world.sync()
    one, leaf = of(look()), leaf_of(secret)
    assert one.stored is not None
    assert one.stored.serial == f"{leaf.serial_number:x}"
    assert one.stored.not_after == leaf.not_valid_after_utc
    assert one.stored == one.source
    assert one.written_at is not None
    assert before <= one.written_at <= datetime.now(UTC) + timedelta(seconds=2)
    world.sync()
    assert of(look()).written_at == one.written_at  # a run without writes does not change the time


def test_nothing_is_written_and_a_copy_in_sync_is_not_read(world: World) -> None:
    """All requests are reads, and those to a target return no data."""
    world.issue("web-tls", "web-2-tls")
    world.sync(certificate="web-tls")
    before = {name: world.versions(name) for name in TARGETS}
    positions = {name: world.log_position(name) for name in ("ops", *TARGETS)}
    look()
    for name, position in positions.items():
        for request in world.requests(name, position):
            assert request["verb"] in ("get", "list") or "selfsubject" in request["requestURI"], request
    secrets = [
        r["requestURI"] for r in world.requests("dev", positions["dev"]) if "/secrets" in r["requestURI"]
    ]
    assert [uri.partition("?")[0] for uri in secrets] == ["/api/v1/namespaces/app-a/secrets"]
    assert {name: world.versions(name) for name in TARGETS} == before


def test_a_cluster_that_is_down_is_unknown_and_hides_no_other(world: World) -> None:
    """Its copies are unknown, with the code of the failure; those of others have their status."""
    world.issue("web-tls")
    world.run()
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    found = look()
    assert statuses(found) == {"dev": "in sync", "rct": "unknown", "prd": "in sync"}
    assert of(found, "rct").reason == "Unreachable"
    assert summary.inventory_verdict(found).message == (
        "inventory: 1 of 3 clusters not fully read: rct (Unreachable); 1 of 3 copies not in sync (unknown 1)"
    )


def test_a_namespace_that_may_not_be_listed_is_unknown(world: World) -> None:
    """The copies in the other namespace of the cluster have their status."""
    world.issue("web-tls")
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "app-c"]}], clusters=["dev"])
    world.sync()
    found = {one.namespace: one for one in look().copies}
    assert (found["app-a"].status, found["app-c"].status) == (Status.IN_SYNC, Status.UNKNOWN)
    assert found["app-c"].reason == "Forbidden"


def test_without_ops_the_copies_are_unknown(world: World) -> None:
    """If OPS can't be read, the report still has the expiry of each copy."""
    (secret,) = world.issue("web-tls")
    world.run()
    world.edit_kubeconfig("clusters", "ops", server="https://127.0.0.1:1")
    found = look()
    assert statuses(found) == dict.fromkeys(TARGETS, "unknown")
    stored = of(found).stored
    assert stored is not None
    assert stored.not_after == leaf_of(secret).not_valid_after_utc
    assert summary.inventory_verdict(found).message.startswith("inventory: OPS can't be read (Unreachable)")
    assert not found.ok


def test_one_cluster_and_one_certificate_can_be_selected(world: World) -> None:
    """Other clusters get no request; an unknown name is an error that lists the known ones."""
    world.issue("web-tls", "web-2-tls")
    position = world.log_position("rct")
    found = look("dev", "web-2-tls")
    assert [(one.cluster, one.certificate) for one in found.copies] == [("dev", "web-2-tls")]
    assert [one.ref.name for one in found.snapshot.certificates] == ["web-2-tls"]
    assert world.requests("rct", position) == []
    with pytest.raises(ConfigError, match="no such cluster; known are: dev, rct, prd"):
        look("nowhere")
    with pytest.raises(ConfigError, match="no route sends it"):
        look("dev", "api-tls")


@pytest.mark.parametrize("pinned", [True, False])
def test_a_suspended_cluster_can_be_selected(world: World, pinned: bool) -> None:
    """A suspended cluster is left out and named as such, unless it is selected."""
    world.issue("web-tls")
    settings: dict[str, Any] = {} if pinned else {"clusterId": None}
    world.configure(suspended=True, **settings)
    assert look().suspended == TARGETS
    assert look().copies == ()
    found = look("dev")
    assert statuses(found) == {"dev": "missing"}
    assert look("dev", "web-tls").clusters[0].failures == ()


def test_no_key_is_in_the_report(world: World) -> None:
    """The report has no key, not even of an edited copy, which has to be read."""
    (secret,) = world.issue("web-tls")
    world.sync()
    older = datetime.now(UTC) - timedelta(days=30)
    other = world.issuer.secret("web-tls", ["web-tls.example.org"], not_before=older)
    world.admin().patch("/api/v1/namespaces/app-a/secrets/web-tls", {"data": other["data"]})
    found = look()
    assert of(found).status is Status.DRIFTED
    keys = {n: base64.b64decode(s["data"]["tls.key"]) for n, s in (("ours", secret), ("edited", other))}
    text = found.model_dump_json() + table.render(found) + table.render_markdown(found)
    assert found_in(text.encode(), keys) == set()


def pair(secret: dict[str, Any]) -> tuple[bytes, bytes]:
    data = secret["data"]
    return base64.b64decode(data["tls.key"]), base64.b64decode(data["tls.crt"])


def serve_at(world: World, *addresses: str) -> None:
    world.configure([{**ROUTES[0], "served": list(addresses)}], clusters=["dev"])


def test_what_is_served_is_compared_with_what_is_stored(world: World, tmp_path: Path) -> None:
    """The match is same; older once the copy was renewed; same again after the server has reloaded."""
    name = "web-tls.example.org"
    (secret,) = world.issue("web-tls")
    with listening(tls_server.tls_server(tmp_path, {name: pair(secret)}, default=name)) as address:
        serve_at(world, address)
        world.sync()
        (served,) = of(look()).served
        assert (served.match, served.name) == (ServedMatch.SAME, name)
        renewed = world.renew(secret)
        (served,) = of(look()).served
        assert served.match is ServedMatch.SAME  # as stored, and both are stale
        world.sync()
        found = look()
        assert [one.match for one in of(found).served] == [ServedMatch.OLDER]
        assert not found.ok
    with listening(tls_server.tls_server(tmp_path, {name: pair(renewed)}, default=name)) as address:
        serve_at(world, address)
        assert [one.match for one in of(look()).served] == [ServedMatch.SAME]


def test_another_certificate_is_reported(world: World, tmp_path: Path) -> None:
    """A certificate for other names, such as an ingress's default one, is reported as another."""
    fake = world.issuer.secret("fake-tls", ["ingress.local"])
    world.issue("web-tls")
    with listening(tls_server.tls_server(tmp_path, {"x": pair(fake)}, default="x")) as address:
        serve_at(world, address)
        world.sync()
        (served,) = of(look()).served
    assert (served.match, served.detail) == (ServedMatch.OTHER, "a certificate for other names")


def test_unreachable_addresses_fail_and_delay_nothing(world: World) -> None:
    """Each address without a certificate has its reason and is counted; all copies are in sync."""
    world.issue("web-tls")
    with listening(tls_server.never_answers) as silent, listening(tls_server.plaintext) as plain:
        serve_at(world, silent, plain, "127.0.0.1:1", "nowhere.invalid")
        world.sync()
        found = look()
    assert {one.match for one in of(found).served} == {ServedMatch.NONE}
    details = {one.address: one.detail for one in of(found).served}
    assert details["127.0.0.1:1"] == "connection refused"
    assert details[silent] == "no answer in 2 s"
    assert "no TLS" in details[plain]
    assert found.ok
    assert summary.inventory_verdict(found).message.endswith("all in sync; 4 served unknown")


def test_a_run_probes_no_address(world: World) -> None:
    """Only the inventory probes addresses: a sync does not depend on an ingress."""
    connections: list[socket.socket] = []
    world.issue("web-tls")
    with listening(connections.append) as address:
        serve_at(world, address)
        world.sync()
        assert world.row("web-tls").action == "keep"
        assert connections == []
        look()
        assert len(connections) == 1


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows", "--inventory", *arguments],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:1/api", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_exit_status_says_whether_all_is_in_sync(world: World) -> None:
    """The status is 0 or 1, without Prefect; the table has the width of the terminal, or is complete."""
    world.issue("web-tls")
    done = command(COLUMNS="80")
    assert (done.returncode, done.stderr) == (1, "")
    assert "3 of 3 copies not in sync (missing 3)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    world.run()
    done = command("--cluster", "dev")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "inventory: 1 copy of 1 certificate, all in sync"
    assert "serial of the copy" in done.stdout  # the output of a pipe is complete


def test_the_command_writes_a_document_or_a_page(world: World, tmp_path: Path) -> None:
    """JSON goes to the output, HTML to a file, with the same exit status."""
    world.issue("web-tls")
    done = command("--json", "--certificate", "web-tls")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [one["status"] for one in document["placements"]] == ["missing"] * 3
    page = tmp_path / "page.html"
    done = command("--html", str(page))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, f"written to {page}: {page.as_uri()}")
    assert page.read_text().startswith("<!doctype html>")


def test_the_command_explains_an_error_in_one_sentence(world: World, tmp_path: Path) -> None:
    """An unknown name, a file that can't be written and a missing kubeconfig are one sentence each."""
    done = command("--cluster", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such cluster; known are: dev, rct, prd" in done.stderr
    done = command("--html", str(tmp_path / "no" / "page.html"))
    assert done.stderr.count("\n") == 1
    assert "can't be written: there is no folder" in done.stderr
    done = command("--html", str(tmp_path))
    assert done.stderr.endswith("can't be written: Is a directory\n")
    done = command(KUBECONFIG=str(tmp_path / "none"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_pushes_what_is_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By cluster, whether a run looks there or not; an inventory without addresses pushes nothing."""
    from flows import inventory as module  # noqa: PLC0415  Prefect, once its server runs

    pushed: list[tuple[str, list[str]]] = []

    def push_served(owner: str, found: ServedByCluster) -> str:
        pushed.append((owner, [*found]))
        return "the gateway is away"

    monkeypatch.setattr(module, "push_served", push_served)
    world.issue("web-tls")
    world.run()
    assert module.inventory(return_state=True).is_completed()
    serve_at(world, "127.0.0.1:1")
    assert module.inventory(return_state=True).is_completed()
    assert pushed == [("ops", []), ("ops", ["dev"])]


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_ends_with_the_verdict(world: World) -> None:
    """The flow is Completed or Failed with the verdict and an artifact; its name has the cluster."""
    from flows.inventory import inventory as flow  # noqa: PLC0415  Prefect, once its server runs
    from tests.apiserver.test_flow import artifacts, flow_run  # noqa: PLC0415

    world.issue("web-tls")
    state: Any = flow(return_state=True)
    assert (state.is_failed(), state.name) == (True, "NotInSync")
    assert state.message == "inventory: 3 of 3 copies not in sync (missing 3)"
    assert flow_run(state).name == "inventory all"
    world.run()
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    state = flow(return_state=True)
    assert state.is_failed()
    assert "| web-tls | ✓ in sync | ? unknown | ✓ in sync |" in artifacts(state)["tls-sync-inventory"]
    state = flow(cluster="dev", return_state=True)
    assert (state.is_completed(), state.message) == (True, "inventory: 1 copy of 1 certificate, all in sync")
    assert flow_run(state).name == "inventory dev"


def test_a_cluster_that_hangs_costs_its_own_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not respond is unknown after its deadline; the others have their status."""
    monkeypatch.setattr("tasks.inventory.collect.CLUSTER_SECONDS", 15.0)
    world.issue("web-tls")

    def hang(request: Request, forward: Forward) -> Answer:
        if "/secrets" in request.path:
            time.sleep(SECONDS)
        return forward()

    with world.proxy("rct") as proxy:
        proxy.fault = hang
        found = look()
    assert statuses(found) == {"dev": "missing", "rct": "unknown", "prd": "missing"}
