"""`make demo` and `make sandbox` as their users start them, and the demo's oracle."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path

import httpx
import pytest

from deployments.sandbox import processes
from deployments.sandbox.demo import demo, up
from deployments.sandbox.demo.flow_run import RunResult
from deployments.sandbox.demo.story import STEPS
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.world.oracle import COPIES, Evidence, Place, Snapshot
from tests.support.prefect_command import http_client
from tests.support.waiting import read_until

ROOT = Path(__file__).parents[2]
COPY = Place("dev", "homarr-dev", "homarr-dev-tls")
OWN = Place("dev", "homarr-dev", "homarr-settings")
REPORT = """\
tls-sync: 1 cluster: create 1

cluster  create  update  keep  refuse  nothing  failures  state
dev      1       0       3     0       0        0         ok

dev
  create  homarr-dev/homarr-dev-tls
"""


def secret(version: int, data: str = "b25l") -> dict[str, object]:
    return {
        "type": "kubernetes.io/tls",
        "metadata": {"resourceVersion": str(version)},
        "data": {"tls.key": data},
    }


@pytest.fixture
def good() -> Snapshot:
    """All copies in place, and a Secret of someone else."""
    sources = {Place("ops", "certificates-ops", name): secret(1) for name in COPIES.values()}
    copies = {place: secret(1) for place in COPIES}
    return Snapshot({**sources, **copies, OWN: secret(1)}, dict.fromkeys(("ops", "dev", "rct", "prd"), 1))


def after(snapshot: Snapshot, **requests: int) -> Snapshot:
    return Snapshot(deepcopy(dict(snapshot.secrets)), {**snapshot.requests, **requests})


def test_the_oracle_has_no_objection_to_a_run_at_rest(good: Snapshot) -> None:
    """Copies like OPS's and nothing written are no reason to object."""
    assert Evidence(good, after(good)).objections(written=()) == []


def test_the_oracle_sees_a_tampered_copy(good: Snapshot) -> None:
    """One other byte in a copy is an objection that names the copy and the key, and not the value."""
    later = after(good)
    later.secrets[COPY]["data"]["tls.key"] = "dHdv"
    (objection,) = Evidence(good, later).objections(written=())
    assert objection == "dev homarr-dev/homarr-dev-tls differs from OPS's homarr-dev-tls in tls.key"


@pytest.mark.parametrize("key", ["tls.crt", "tls.key"])
def test_the_oracle_sees_keys_too_many_and_too_few(good: Snapshot, key: str) -> None:
    """A key of data that only one of the two has is an objection."""
    later = after(good)
    later.secrets[COPY]["data"] = {"tls.key": "b25l", "tls.crt": ""} if key == "tls.crt" else {}
    assert [text.rpartition(" ")[2] for text in Evidence(good, later).objections(())] == [key]


def test_the_oracle_sees_a_write_where_none_should_be(good: Snapshot) -> None:
    """A resourceVersion that moved is an objection, even if the content is the same."""
    later = after(good)
    later.secrets[OWN]["metadata"]["resourceVersion"] = "2"
    assert Evidence(good, later).objections(()) == [f"{OWN} was written, and should not have been"]


def test_the_oracle_misses_a_write_that_should_be(good: Snapshot) -> None:
    """A copy that had to be written and was not is an objection."""
    assert Evidence(good, after(good)).objections({COPY}) == [f"{COPY} was not written"]


def test_the_oracle_misses_what_is_gone(good: Snapshot) -> None:
    """A copy and a foreign Secret that have vanished are objections."""
    secrets = {place: found for place, found in good.secrets.items() if place not in (COPY, OWN)}
    objections = Evidence(good, Snapshot(secrets, good.requests)).objections(())
    assert objections == [f"{COPY} is not there", f"{COPY} was deleted", f"{OWN} was deleted"]


def test_the_oracle_sees_another_type(good: Snapshot) -> None:
    """A copy of another type than OPS's is an objection."""
    later = after(good)
    later.secrets[COPY]["type"] = "Opaque"
    assert "has the type Opaque" in Evidence(good, later).objections(())[0]


def test_the_oracle_sees_a_request_to_a_cluster_left_alone(good: Snapshot) -> None:
    """A cluster that was to be left alone may not get even one read."""
    evidence = Evidence(good, after(good, rct=2))
    assert evidence.objections((), left_alone={"rct", "prd"}) == [
        "rct got requests, and should have got none"
    ]


def test_the_oracle_does_not_miss_a_stopped_cluster(good: Snapshot) -> None:
    """What lies on a cluster that can't be looked at is neither gone nor different."""
    secrets = {place: found for place, found in good.secrets.items() if place.cluster != "rct"}
    requests = {name: count for name, count in good.requests.items() if name != "rct"}
    down = Snapshot(secrets, requests)
    assert Evidence(down, down).objections(()) == []


def test_the_demo_compares_the_report_with_the_clusters(good: Snapshot) -> None:
    """A report whose numbers are not those of the clusters is an objection, also where it has no table."""
    earlier = Snapshot({p: s for p, s in good.secrets.items() if p != COPY}, good.requests)
    evidence = Evidence(earlier, good)
    assert demo.numbers(RunResult("Completed", "", REPORT), evidence, {COPY}) == []
    (objection,) = demo.numbers(
        RunResult("Completed", "", REPORT.replace("dev      1", "dev      2")), evidence, {COPY}
    )
    assert objection == "dev: the report says (created, updated) (2, 0), the cluster (1, 0)"
    assert demo.numbers(RunResult("Failed", "", "tls-sync: nothing"), evidence, {COPY}) != []


@pytest.mark.apiserver
def test_the_demo_succeeds(tmp_path: Path) -> None:
    """The demo shows its steps, each with its report and its check, exits with 0, and leaves nothing."""
    with command("demo", tmp_path) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    for number, step in enumerate(STEPS, 1):
        assert f"{number} of {len(STEPS)}: {step.title}\n" in output
    assert len(re.findall(r"^checked: ", output, re.MULTILINE)) == len(STEPS)
    assert len(re.findall(r"^tls-sync: ", output, re.MULTILINE)) == len(STEPS)
    assert "differs: " not in output
    assert "\x1b" not in output
    assert left(tmp_path) == ([], [])


@pytest.mark.apiserver
def test_the_sandbox_serves_the_flow_until_it_is_interrupted(tmp_path: Path) -> None:
    """What it prints can be typed as it is, its password included: a run for one cluster ends Completed.

    Whoever does not have the password is refused; SIGINT ends everything.
    """
    with command("up", tmp_path) as process:
        text = read_until(process, "Ctrl-C here stops")
        exports = "\n".join(re.findall(r"^  (cd .*|unset .*|export .*)$", text, re.MULTILINE))
        (ad_hoc,) = set(re.findall(r"^  (prefect .* -p cluster=dev --watch)$", text, re.MULTILINE))
        typed(exports, ad_hoc)
        (ready,) = re.findall(r"^  (prefect .* tls-sync-preflight/ops --watch)$", text, re.MULTILINE)
        typed(exports, ready)
        typed(exports, "python -m deployments.sandbox renew homarr-prd-tls")
        assert {"sync dev", "preflight all"} <= {run["name"] for run in completed_runs(text)}
        process.send_signal(signal.SIGINT)
        rest = process.communicate()[0]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert left(tmp_path) == ([], [])


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no waitid before Python 3.13")
def test_the_sandbox_ends_when_a_part_of_it_dies(tmp_path: Path) -> None:
    """It says which part died, and shows the end of its log and where the whole log is."""
    log = tmp_path / "rct.log"
    child = processes.spawn(["/bin/sh", "-c", "echo its last words"], log, tmp_path)
    with pytest.raises(SandboxError, match=rf"(?s)the API server of rct died.*its last words.*{log}"):
        up.watch({"the API server of rct": (child.pid, log)})
    child.wait()


@contextmanager
def command(name: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Started as make does; its temporary directory is in ours, by which its children are known."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.sandbox", name],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def typed(exports: str, line: str) -> None:
    """In another terminal."""
    environment = {"HOME": os.environ["HOME"], "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-ec", f"{exports}\n{line}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def completed_runs(text: str) -> list[dict[str, object]]:
    plain = text.replace("  ", "")
    (port,) = re.findall(r"^export PREFECT_API_URL=http://127.0.0.1:(\d+)/api$", plain, re.MULTILINE)
    (password,) = re.findall(r"^export PREFECT_API_AUTH_STRING=(\S+)$", plain, re.MULTILINE)
    assert f"which asks for the password {password}\n" in text
    wanted = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    address = f"http://127.0.0.1:{port}/api"
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        http_client(address).post("/flow_runs/filter", json=wanted)
    runs: list[dict[str, object]]
    runs = http_client(address, password).post("/flow_runs/filter", json=wanted).json()
    return runs


def processes_of(directory: Path) -> list[tuple[int, str]]:
    """Processes that have the directory in their environment, and their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(directory).encode() in (process / "environ").read_bytes():
                found.append((int(process.name), (process / "cmdline").read_text().replace("\0", " ")))
    return found


def left(directory: Path) -> tuple[list[tuple[int, str]], list[Path]]:
    return processes_of(directory), list(directory.iterdir())
