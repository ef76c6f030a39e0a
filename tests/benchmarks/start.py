"""From the start of a run's process to its first request, against what `import prefect` alone takes."""

import statistics
import subprocess
import sys
import time

import yaml

from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.progress import Say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER, context_name
from tests.benchmarks.results import Result, seconds
from tests.benchmarks.world import World
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

MORE_S = 0.4
POLL_SECONDS = 0.002


def first_request(world: World, say: Say, times: int) -> Result:
    """In turn, so that both have the same load; the run finds everything in sync."""
    say(f"start: {times} runs until their first request, and {times} imports of prefect")
    proxy = TcpProxy(world.sandbox.cluster(SOURCE_CLUSTER).admin.address[1])
    whole = world.kubeconfig.read_text()
    with tcp_proxy(proxy) as url:
        try:
            world.kubeconfig.write_text(_through(whole, url))
            pairs = [(_until_connected(proxy), _import()) for _ in range(times)]
        finally:
            world.kubeconfig.write_text(whole)
    ours, other = zip(*pairs, strict=True)
    more = round(statistics.median(ours) - statistics.median(other), 2)
    return Result(
        key="start_beyond_import_s",
        what="from the process's start to its first request / import prefect",
        value=more,
        unit=" s more",
        ours=seconds(ours),
        other=seconds(other),
        demand=f"at most {MORE_S} s more",
        met=more <= MORE_S,
        details={"ours_seconds": ours, "other_seconds": other},
    )


def _through(kubeconfig: str, url: str) -> str:
    """The kubeconfig with OPS at this address."""
    document = yaml.safe_load(kubeconfig)
    for entry in document["clusters"]:
        if entry["name"] == context_name(SOURCE_CLUSTER):
            entry["cluster"]["server"] = url
    return str(yaml.safe_dump(document))


def _until_connected(proxy: TcpProxy) -> float:
    before, begin = proxy.connections, time.perf_counter()
    command, nowhere = [sys.executable, "-m", "flows"], subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere)
    while proxy.connections == before and process.poll() is None:
        time.sleep(POLL_SECONDS)
    taken = time.perf_counter() - begin
    process.wait()
    return round(taken, 3)


def _import() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import prefect"], check=True)
    return round(time.perf_counter() - begin, 3)
