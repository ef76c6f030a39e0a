"""Ten thousand certificates on OPS, in the memory that a pod has.

TLS_SYNC_SECRETS sets how many: 10000 before a release (some minutes), fewer in every run of the tests.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from deployments.sandbox import processes
from deployments.sandbox.clusters.control_plane import Sandbox
from flows.execute import VARIABLE
from tests.benchmarks.flow_process import POD
from tests.benchmarks.memory import MIB, Peak
from tests.conftest import running_sandbox
from tests.support.clusters import World

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
SECRETS = int(os.environ.get("TLS_SYNC_SECRETS", "1000"))
ROUTED = [f"web-{number:05}-tls" for number in range(100)]
LIMIT_MIB = 256
"""Of the shipped pod."""
MOST_MIB = 170
SPARE_MIB = 4
"""For each thousand certificates that are missing to ten thousand, so much less may be used."""
RUN_SECONDS = 500
CGROUP = Path("/sys/fs/cgroup")
SAMPLE_SECONDS = 0.2


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Of this module's own: what is put there takes long to take away."""
    yield from running_sandbox(Sandbox(("ops", "dev")))


@contextmanager
def memory_limit() -> Iterator[Path | None]:
    """A control group with a pod's memory, which the kernel keeps; None where we may not make one."""
    group = _make_group()
    yield group
    if group:
        with suppress(OSError):  # the kernel may need a moment to see that it is empty
            group.rmdir()


def _make_group() -> Path | None:
    for parent, knob in ((CGROUP / "memory", "memory.limit_in_bytes"), (CGROUP, "memory.max")):
        group = parent / f"tls-sync-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / knob).write_text(str(LIMIT_MIB * MIB * MIB))
        except OSError:
            group.rmdir()
        else:
            return group
    return None


def run_as_a_pod(log: Path) -> Peak:
    """What a job's container runs, watched until it ends."""
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    made = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.deployment"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    environment |= {VARIABLE: made.stdout.split()[-1]}
    peak, deadline = Peak(), time.monotonic() + RUN_SECONDS
    with memory_limit() as group:
        enter = f"echo $$ >{group}/cgroup.procs && " if group else ""
        process = processes.spawn(
            ["/bin/sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, *POD], log, ROOT, environment
        )
        try:
            while process.poll() is None and time.monotonic() < deadline:
                peak.sample(process.pid, shared=True)
                time.sleep(SAMPLE_SECONDS)
        finally:
            processes.stop(process)
    assert process.returncode == 0, processes.tail(log)
    return peak


def test_ten_thousand_certificates_fit_into_a_pod(world: World, tmp_path: Path) -> None:
    """However many certificates OPS holds, a run for some of them does not need more than the pod has."""

    def put(number: int) -> None:
        name = f"web-{number:05}-tls"
        world.ops.create(world.issuer.secret(name, [f"{name}.example.org"]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(put, range(SECRETS)))
    world.configure([{"certificates": ROUTED, "namespaces": ["app-a"]}])
    log = tmp_path / "flow.log"
    peak = run_as_a_pod(log)
    unchecked = SECRETS - len(ROUTED)
    fit = f"on OPS ({len(ROUTED)} certificates fit to be sent, {unchecked} not checked)"
    assert fit in log.read_text()
    assert len(world.versions()) == len(ROUTED)
    mib = peak.together_kib / MIB
    sys.stderr.write(f"\n{SECRETS} certificates: {mib:.0f} MiB in a pod\n")
    assert mib < MOST_MIB - SPARE_MIB * (10_000 - SECRETS) / 1000
