"""All benchmarks, one after the other; prints a table and writes bench.json."""

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
    """Exit status 1 if an unchanged run made other requests than it should, 2 if it can't be measured."""
    options = _options()
    machine, measured = results.machine(), list[Result]()
    # Only some of the parts: the others' numbers are kept, each with its own time and load.
    content = results.read(FILE) if options.only else {}
    with tempfile.TemporaryDirectory(prefix="tls-sync-bench-") as directory:  # mode 0700
        try:
            for result in measure(Path(directory), machine, options.parts, quick=options.quick):
                measured.append(result)
                content = results.merged([result], machine, content)
                results.write(content, FILE)  # at once, as what follows may go wrong
        except SandboxError as error:
            say(f"not measured: {error}")
            return 2
    machine["load_at_end"] = results.load()
    results.write(results.merged([], machine, content), FILE)
    facts = (f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    sys.stdout.write(f"\n{results.render(measured)}\n\n{', '.join(facts)}\n")
    sys.stdout.write("On a busy machine, believe the ratios more than the times. All numbers: bench.json\n")
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
                yield result.noting(facts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer repetitions, the kubectl loop from a sample, no large part",
    )
    parser.add_argument(
        "--only", metavar="PART,PART", help=f"of {', '.join(PARTS)}; the others' numbers are kept"
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
