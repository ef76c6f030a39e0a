"""Runs in trouble that is not a target's: two at once, OPS or etcd gone, Prefect's API or storage gone."""

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prefect.settings import PREFECT_API_URL

from deployments.sandbox.demo.prefect_server import PrefectServer, end
from tasks.domain.failure_codes import FailureCode
from tests.support.clusters import TARGETS, World
from tests.support.fault_proxy import Answer, Forward, Request
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]
NAMES = tuple(f"web-{number}-tls" for number in range(6))


def flow(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The flow as a process of its own, with a Prefect of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", **settings}
    command = [sys.executable, "-m", "flows"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_two_runs_at_once_end_with_the_newer_certificate(world: World) -> None:
    """Whoever is slower, and however old its list: the newest certificate stays, and both runs succeed."""
    (secret,) = world.issue("web-tls")
    for _ in range(20):
        old = world.snapshot()
        secret = world.renew(secret)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(world.sync, "dev", old), pool.submit(world.sync, "dev")]
        assert [run.result().failures for run in runs] == [(), ()]
        copy = world.copy("web-tls")
        assert copy is not None
        assert copy["data"] == secret["data"]


def test_etcd_killed_in_mid_run_is_healed_by_the_next(world: World) -> None:
    """With etcd gone nothing can be known or written; once it is back, the next run does it all."""
    world.issue(*NAMES)
    snapshot = world.snapshot()
    etcd = world.sandbox.etcd("dev")
    killer = threading.Timer(0.05, etcd.stop)
    killer.start()
    try:
        reports = [world.sync(name, snapshot, seconds=6) for name in TARGETS]
    finally:
        killer.join()
        etcd.start()
    codes = {failure.code for report in reports for failure in report.failures}
    assert codes <= {
        FailureCode.SERVER_ERROR,
        FailureCode.TIMEOUT,
        FailureCode.DEADLINE,
        FailureCode.CONNECTION_LOST,
        FailureCode.FORBIDDEN,
    }
    for _ in range(100):
        if all(world.admin(name).is_ready() for name in ("ops", *TARGETS)):
            break
        time.sleep(0.2)
    assert all(report.ok for report in world.run().values())
    before = world.versions()
    assert all(report.ok for report in world.run().values())
    assert world.versions() == before


def test_without_prefects_api_no_flow_runs_and_nothing_is_written(world: World, tmp_path: Path) -> None:
    """The flow can't begin; it ends with an error that names the address, and no cluster was asked."""
    world.issue("web-tls")
    start = world.log_position("ops")
    done = flow(tmp_path, PREFECT_API_URL="http://127.0.0.1:1/api")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert world.requests("ops", start) == []
    assert world.versions() == {}


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("write", [1, len(NAMES)], ids=["in mid-run", "at the end"])
def test_prefects_api_that_goes_away_costs_no_certificate(world: World, tmp_path: Path, write: int) -> None:
    """What a run has begun it finishes, and says so; it exits as failed; the next run has nothing to do."""
    world.issue(*NAMES)
    oracle, writes, address = world.oracle(), list[Request](), urlsplit(str(PREFECT_API_URL.value()))
    prefect = TcpProxy(address.port or 80)

    def fault(request: Request, forward: Forward) -> Answer:
        answer = forward()
        writes.extend([request] if request.method == "PATCH" else [])
        if len(writes) == write:
            prefect.stop()
            prefect.hang_up()
        return answer

    with tcp_proxy(prefect) as url, world.proxy() as proxy:
        proxy.fault = fault
        api = f"http://{urlsplit(url).netloc}{address.path}"
        done = flow(tmp_path, PREFECT_API_URL=api, PREFECT_CLIENT_MAX_RETRIES="1")
    assert (len(writes), done.returncode) == (len(NAMES), 1)
    copies = {cluster: [f"app-a/{name}" for name in NAMES] for cluster in TARGETS}
    assert oracle.objections() + oracle.differences() + oracle.misreported(copies) == []
    assert re.search(rf"^dev +{len(NAMES)} .* ok$", done.stdout + done.stderr, re.MULTILINE)
    oracle.look()
    assert all(report.ok for report in world.run().values())
    assert oracle.writes_tried() == []


def test_without_result_storage_the_copies_are_made_all_the_same(world: World, tmp_path: Path) -> None:
    """Results are for resumptions; a storage that can't be written costs those, and no certificate."""
    world.issue("web-tls")
    storage = tmp_path / "storage"
    storage.write_text("a file where a folder should be")
    done = flow(tmp_path / "home", PREFECT_RESULTS_LOCAL_STORAGE_PATH=str(storage))
    assert [world.copy("web-tls", name) is not None for name in TARGETS] == [True] * 3
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_a_run_leaves_is_for_its_user_alone(world: World, tmp_path: Path) -> None:
    """Results, database and logs can be read and written by no one else; a crash would leave no core."""
    world.issue("web-tls")
    home = tmp_path / "home"
    assert flow(home).returncode == 0
    results = [path for path in home.rglob("*") if path.is_file()]
    assert any("storage" in path.parts for path in results)
    assert [path for path in results if path.stat().st_mode & 0o077] == []
    check = "import resource, flows.tls_sync; print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "0"


def test_prefects_api_may_ask_for_a_password(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for a password serves the runs that have it, and no others."""
    world.issue("web-tls")
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "server"))
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "admin:canary")
    server = PrefectServer(tmp_path)
    server.start()
    try:
        server.wait(lambda _: None)
        refused = flow(tmp_path / "a", PREFECT_API_URL=server.api)
        assert refused.returncode == 1
        assert refused.stderr.endswith("refuses our credentials (HTTP 401); check PREFECT_API_AUTH_STRING\n")
        assert refused.stderr.count("\n") == 1
        assert world.versions() == {}
        done = flow(tmp_path / "b", PREFECT_API_URL=server.api, PREFECT_API_AUTH_STRING="admin:canary")
        assert done.returncode == 0
        assert "canary" not in done.stdout + done.stderr
        assert list(world.versions()) == ["app-a/web-tls"]
    finally:
        end(server.process)
