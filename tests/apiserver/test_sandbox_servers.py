"""The sandbox with real servers."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters import api_server
from deployments.sandbox.clusters.admin import Admin, AdminError
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.demo import renew
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world import scenario
from deployments.sandbox.world.cert_manager import Issuer
from deployments.sandbox.world.kubeconfig import write_kubeconfig

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Servers of this module's own, as its tests stop and start them."""
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def world(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> scenario.World:
    return scenario.build(sandbox, tmp_path_factory.mktemp("world"))


def test_clusters_share_nothing(sandbox: Sandbox) -> None:
    """What is written on one cluster isn't on another, and a token of one is worth nothing there."""
    ops, dev = sandbox.cluster("ops"), sandbox.cluster("dev")
    ops.admin.namespace("only-on-ops")
    assert status(dev.admin, "get", "/api/v1/namespaces/only-on-ops") == 404
    assert ops.admin.cluster_id() != dev.admin.cluster_id()
    ops.admin.namespace("tls-sync")
    ops.admin.ensure(account("robot", "tls-sync"))
    token = ops.admin.token("tls-sync", "robot", 600)
    assert status(Admin(*dev.admin.address, dev.ca_pem, token), "get", "/version") == 401


@pytest.mark.parametrize("whose", ["none", "another", "of runs"])
def test_renew_with_another_kubeconfig_says_what_to_type(
    world: scenario.World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    whose: str,
) -> None:
    """None, one whose token is not accepted, and the runs' own: each is told as no sandbox of yours."""
    theirs = tmp_path / "theirs"
    document = yaml.safe_load(world.admin_kubeconfig.read_text())
    for user in document["users"]:
        user["user"]["token"] = "of-another-sandbox"
    theirs.write_text(yaml.safe_dump(document))
    path = {"none": tmp_path / "none", "another": theirs, "of runs": world.kubeconfig}[whose]
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(SandboxError, match=r"type here the exports that it prints"):
        renew.run("homarr-prd-tls")
    monkeypatch.setenv("KUBECONFIG", str(world.admin_kubeconfig))
    assert renew.run("homarr-prd-tls") == 0
    assert "homarr-prd-tls is renewed on OPS" in capsys.readouterr().out


def test_server_keeps_data_and_address_over_a_restart(sandbox: Sandbox) -> None:
    """A stopped server refuses connections; started again it has the same port and the same data."""
    dev = sandbox.cluster("dev")
    dev.admin.namespace("restart")
    dev.admin.create(Issuer("restart").secret("web-tls", ["web.example.org"]))
    url, before = dev.url, dev.admin.secret("restart", "web-tls")
    dev.stop()
    with pytest.raises(ConnectionRefusedError):
        dev.admin.secrets("restart")
    dev.start()
    os.kill(dev.pid, signal.SIGKILL)  # a crash, which nobody told the sandbox of
    os.waitpid(dev.pid, 0)
    dev.start()
    assert (dev.url, dev.admin.secret("restart", "web-tls")) == (url, before)


def test_audit_lists_a_write_without_its_body(sandbox: Sandbox) -> None:
    """The audit log has one entry per request, by whom and on what, and nothing of a Secret."""
    dev = sandbox.cluster("dev")
    dev.admin.namespace("audit")
    secret = Issuer("audit").secret("web-tls", ["web.example.org"])
    dev.admin.create(secret)
    entries = [entry for entry in dev.audit() if entry.get("objectRef", {}).get("namespace") == "audit"]
    (create,) = (entry for entry in entries if entry["verb"] == "create")
    assert create["objectRef"]["resource"] == "secrets"
    assert create["user"]["username"] == "sandbox-admin"
    assert create["responseStatus"]["code"] == 201
    assert secret["data"]["tls.key"] not in (dev.directory / "audit.log").read_text()


def test_apply_without_force_refuses_what_another_manager_owns(sandbox: Sandbox) -> None:
    """A refusal of the API comes out with its status and its reason."""
    admin = sandbox.cluster("dev").admin
    admin.namespace("apply")
    secret = Issuer("apply").secret("web-tls", ["web.example.org"])
    path = "/api/v1/namespaces/apply/secrets/web-tls"
    admin.apply(path, secret, "first")
    secret["data"]["tls.crt"] = ""
    with pytest.raises(AdminError) as caught:
        admin.apply(path, secret, "second")
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert admin.apply(path, secret, "second", force=True)["data"]["tls.crt"] == ""


def test_kubeconfig_has_the_shipped_rights_on_a_target(world: scenario.World) -> None:
    """In a routed namespace: get, list, create, patch of Secrets. Nothing more, nowhere else."""
    dev = client(world, "cluster-dev")
    routed, elsewhere = "/api/v1/namespaces/homarr-dev", "/api/v1/namespaces/default"
    ours = {"app.kubernetes.io/managed-by": "tls-sync"}
    secret = Issuer("homarr-dev").secret("rights", ["homarr.dev.example.org"], labels=ours)
    assert dev.list(f"{routed}/secrets") == []
    dev.apply(f"{routed}/secrets/rights", secret, "tls-sync")
    assert dev.get(f"{routed}/secrets/rights")["data"] == secret["data"]
    assert dev.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert status(dev, "put", f"{routed}/secrets/rights", secret) == 403
    assert status(dev, "delete", f"{routed}/secrets/rights") == 403
    assert status(dev, "get", f"{routed}/secrets?watch=true&timeoutSeconds=1") == 403
    assert status(dev, "get", f"{routed}/configmaps") == 403
    assert status(dev, "get", f"{elsewhere}/secrets") == 403
    assert status(dev, "get", "/api/v1/secrets") == 403
    assert status(dev, "get", "/api/v1/namespaces/homarr-dev") == 403


def test_kubeconfig_has_the_shipped_rights_on_ops(world: scenario.World) -> None:
    """On OPS: get and list of Secrets and Certificates in certificates-ops, and no write."""
    ops = client(world, "cluster-ops")
    namespace = "namespaces/certificates-ops"
    assert len(ops.list(f"/api/v1/{namespace}/secrets")) == 11
    assert len(ops.list(f"/apis/cert-manager.io/v1/{namespace}/certificates")) == 9
    assert ops.get(f"/api/v1/{namespace}/secrets/homarr-dev-tls")["type"] == "kubernetes.io/tls"
    secret = Issuer().secret("homarr-dev-tls", ["homarr.dev.example.org"])
    path = f"/api/v1/{namespace}/secrets/homarr-dev-tls"
    assert status(ops, "patch", path, {"metadata": {"labels": {"a": "b"}}}) == 403
    assert status(ops, "post", f"/api/v1/{namespace}/secrets", secret) == 403
    assert status(ops, "delete", path) == 403
    assert status(ops, "get", "/api/v1/namespaces/tls-sync/secrets") == 403


def test_files_of_the_world_agree(world: scenario.World) -> None:
    """Every context of the configuration is in the kubeconfig, which only its owner may read."""
    config = yaml.safe_load(world.config.read_text())
    kubeconfig = yaml.safe_load(world.kubeconfig.read_text())
    named = [config["source"]["context"], *(item["context"] for item in config["clusters"])]
    assert [item["name"] for item in kubeconfig["contexts"]] == named
    for cluster in config["clusters"]:
        admin = world.sandbox.cluster(cluster["name"]).admin
        assert cluster["clusterId"] == admin.cluster_id()
    for path in (world.kubeconfig, world.admin_kubeconfig):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_sandboxes_at_a_time_and_none_left(sandbox: Sandbox, tmp_path: Path) -> None:
    """A second sandbox beside the first disturbs it not, and ends without a trace but its logs."""
    directory = tmp_path / "second"
    with Sandbox(("ops",), directory) as second:
        second.cluster("ops").admin.namespace("only-on-the-second")
        added = second.add("dev")
        write_kubeconfig(second, tmp_path / "kubeconfig", {"dev": ["homarr-dev"]})
        pids = second.pids
        assert {second.cluster("ops").pid, added.pid} < set(pids)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not any(map(is_alive, pids))
    assert (directory / "ops" / "kube-apiserver.log").exists()
    first = sandbox.cluster("ops").admin
    assert status(first, "get", "/api/v1/namespaces/only-on-the-second") == 404
    with pytest.raises(SandboxError, match="isn't empty"), Sandbox(("ops",), directory):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    """No server outlives the process that started it, whatever ended that; a thread may start one."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux has PR_SET_PDEATHSIG")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        parent.send_signal(number)
        parent.wait()
    while any(map(is_alive, pids)):  # pytest's own limit of time ends it if they stay
        time.sleep(0.05)
    left = list(tmp_path.glob("tls-sync-sandbox-*"))
    assert len(left) == (1 if number == signal.SIGKILL else 0)


# A thread that ends restarts a server: Linux would then take the server's parent for dead.
PARENT = """
import signal, threading, time
from deployments.sandbox.clusters.control_plane import Sandbox

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a job in the background
with Sandbox(("ops",)) as sandbox:
    ops = sandbox.cluster("ops")
    thread = threading.Thread(target=lambda: (ops.stop(), ops.start()))
    thread.start()
    thread.join()
    print(*sandbox.pids, flush=True)
    time.sleep(600)
"""


def test_a_port_that_is_taken_is_replaced(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose port was taken between the choice and the bind starts on another one."""
    free = api_server.free_port()
    with socket.socket() as other:  # taken, but nobody listens: else each look would last until its timeout
        other.bind(("127.0.0.1", 0))
        ports = iter([other.getsockname()[1], free])
        monkeypatch.setattr(api_server, "free_port", lambda _address: next(ports))
        assert sandbox.add("unlucky").url == f"https://127.0.0.1:{free}"


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """The error holds the last lines of the server's log and names the file, which is still there."""
    directory = tmp_path / "sandbox"
    with Sandbox(("ops",), directory, say=lambda _line: None) as sandbox:
        ops = sandbox.cluster("ops")
        ops.stop()
        (directory / "ops" / "service-account.key").write_text("no key")
        with pytest.raises(SandboxError, match=r"(?s)service-account.*whole log is .*\.log"):
            ops.start()


def client(world: scenario.World, context: str) -> Admin:
    """A client with the token of tls-sync, as the kubeconfig has it."""
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    (token,) = (user["user"]["token"] for user in users if user["name"] == context)
    server = world.sandbox.cluster(context.removeprefix("cluster-"))
    return Admin(*server.admin.address, server.ca_pem, token)


def status(admin: Admin, verb: str, *arguments: Any) -> int:
    """The status that the API refuses a request with."""
    with pytest.raises(AdminError) as caught:
        getattr(admin, verb)(*arguments)
    return caught.value.status


def account(name: str, namespace: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat_file = Path(f"/proc/{pid}/stat")  # a dead child that nobody waits for counts as dead
    return not stat_file.exists() or stat_file.read_text().rpartition(")")[2].split()[0] != "Z"
