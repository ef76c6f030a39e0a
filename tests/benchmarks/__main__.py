"""Measure, print a table and write bench.json."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import say
from tests.benchmarks import results
from tests.benchmarks.parts import PARTS, QUICK_PARTS, stage
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import FULL, QUICK

FILE = ROOT / "bench.json"


def main() -> int:
    """Exit status 1 if an unchanged run made other requests than it should, 2 if measuring failed."""
    options = _options()
    machine, measured = results.machine(), list[Result]()
    before = results.read(FILE) if options.only else {}
    with tempfile.TemporaryDirectory(prefix="tls-sync-bench-") as directory:  # mode 0700
        try:
            for result in measure(Path(directory), machine, options.parts, quick=options.quick):
                measured.append(result)
                # Written after each result, as a later part may fail.
                results.write(results.merge(before, results.content(measured, machine)), FILE)
        except SandboxError as error:
            say(f"not measured: {error}")
            return 2
    machine["load_at_end"] = results.load()
    results.write(results.merge(before, results.content(measured, machine)), FILE)
    facts = (f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    sys.stdout.write(f"\n{results.text(one.row for one in measured)}\n\n{', '.join(facts)}\n")
    sys.stdout.write("On a busy machine, ratios say more than times. All figures are in bench.json.\n")
    return 0 if all(one.met for one in measured if one.key == "unchanged_requests") else 1


def measure(
    directory: Path, machine: dict[str, Any], parts: Sequence[str], *, quick: bool
) -> Iterator[Result]:
    with stage(QUICK if quick else FULL, directory, say) as ready:
        machine |= results.programs(say) | {"kube_apiserver": ready.world.server_version}
        for number, name in enumerate(parts, start=1):
            say(f"part {number} of {len(parts)}: {name}")
            facts = results.now()
            for result in PARTS[name](ready):
                yield result.with_details(facts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"fewer repetitions, a sample of the kubectl loop, and only {', '.join(QUICK_PARTS)}",
    )
    parser.add_argument(
        "--only", metavar="PART,PART", help=f"of {', '.join(PARTS)}; bench.json keeps the other figures"
    )
    options = parser.parse_args()
    everything = QUICK_PARTS if options.quick else tuple(PARTS)
    wanted = options.only.split(",") if options.only else everything
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"--only: no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options.parts = [name for name in PARTS if name in wanted]
    return options


if __name__ == "__main__":
    sys.exit(main())
