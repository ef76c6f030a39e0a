"""All benchmarks, one after the other; prints a table and writes bench.json."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from deployments.sandbox.control_plane import Sandbox
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.prefect_server import ROOT, prefect_server
from deployments.sandbox.progress import say
from tests.benchmarks import clusters_part, fleet, pod, renewals, results, start, whole_run
from tests.benchmarks.flow_process import FlowProcess
from tests.benchmarks.results import Result
from tests.benchmarks.world import COPIES, World


def main() -> int:
    """Exit status 1 if an unchanged run made other requests than it should, 2 if it can't be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions, and the kubectl loop from a sample"
    )
    quick = parser.parse_args().quick
    machine = results.machine()
    with tempfile.TemporaryDirectory(prefix="tls-sync-bench-") as directory:  # mode 0700
        try:
            measured = measure(Path(directory), machine, quick=quick)
        except SandboxError as error:
            say(f"not measured: {error}")
            return 2
    machine["load_at_end"] = results.load()
    results.write(measured, machine, ROOT / "bench.json")
    facts = (f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    sys.stdout.write(f"\n{results.render(measured)}\n\n{', '.join(facts)}\n")
    sys.stdout.write("On a busy machine, believe the ratios more than the times. All numbers: bench.json\n")
    return 0 if all(one.met for one in measured if one.key == "unchanged_requests") else 1


def measure(directory: Path, machine: dict[str, Any], *, quick: bool) -> list[Result]:
    with Sandbox(say=say) as sandbox:
        world = World(sandbox, directory)
        say(f"filling OPS for {COPIES} copies and building the floor")
        world.build()
        machine["kube_apiserver"] = world.server_version
        bench = clusters_part.prepare(world, say, quick=quick)
        first, unchanged = clusters_part.first_sync(bench), clusters_part.unchanged(bench)
        say("starting a Prefect server")  # only now: it would take its share of the cores
        with prefect_server(directory) as server:
            server.wait(say)
            flow = FlowProcess(world)
            loop = whole_run.against_kubectl(flow, say, quick=quick)
            requests = whole_run.unchanged_requests(flow, say)
            peaks = pod.peaks(flow, say)
            watched = renewals.latencies(world, server, say, quick=quick)
            begun = start.first_request(world, say)
            many = [] if quick else fleet.with_black_holes(world, say)
            return [first, loop, unchanged, requests, begun, *peaks, *watched, *many]


if __name__ == "__main__":
    sys.exit(main())
