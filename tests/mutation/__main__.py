"""`make mutants`: run cosmic-ray on the modules that decide, and list the mutants that pass all tests.

It works on a copy, as cosmic-ray changes files in place. survivors.txt lists those that are equivalent to the
original, each with the reason; any other makes the exit status 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
KNOWN = Path(__file__).with_name("survivors.txt")
TESTS = {
    "plan/decide": "tests/unit/plan/test_decide.py tests/unit/plan/test_ownership.py "
    "tests/unit/plan/test_prune.py tests/unit/plan/test_requests.py",
    "plan/safety": "tests/unit/plan/test_decide.py tests/unit/plan/test_state_machine.py "
    "tests/unit/plan/test_requests.py",
    "plan/requests": "tests/unit/plan/test_requests.py",
    "source/requests": "tests/unit/source/test_requests.py",
    "source/chain": "tests/unit/source/test_chain.py tests/unit/source/test_checks.py",
    "source/checks": "tests/unit/source/test_checks.py tests/unit/source/test_chain.py",
    "source/private_key": "tests/unit/source/test_private_key.py tests/unit/source/test_checks.py",
    "orchestration/task_options": "tests/unit/orchestration/test_task_options.py tests/unit/test_clock.py",
    "kube/responses": "tests/unit/kube/test_responses.py tests/unit/kube/test_decompress.py "
    "tests/unit/kube/test_parse_event.py",
    "domain/names": "tests/unit/domain/test_names.py",
    "domain/patterns": "tests/unit/domain/test_patterns.py tests/unit/test_growth.py",
    "plan/ownership": "tests/unit/plan/test_ownership.py tests/unit/plan/test_decide.py "
    "tests/unit/plan/test_prune.py",
    "plan/note": "tests/unit/plan/test_note.py tests/unit/plan/test_requests.py",
    "plan/orphans": "tests/unit/plan/test_prune.py",
    "plan/prune": "tests/unit/plan/test_prune.py",
    "plan/waves": "tests/unit/plan/test_waves.py tests/unit/plan/test_requests.py",
    "fleet/groups": "tests/unit/fleet/test_groups.py",
}
"""Module of tasks/ without .py -> the test files that must fail for each mutant."""
SECONDS = 120
"""Seconds for the tests of one mutant; a mutant that takes longer counts as killed."""


class Survivor(NamedTuple):
    module: str
    line: str
    """What the mutant's diff added."""

    def __str__(self) -> str:
        return f"{self.module}: {self.line}"


def configure(module: str, folder: Path) -> Path:
    command = f"{sys.executable} -m pytest -x -q --noconftest -p no:cacheprovider {TESTS[module]}"
    text = f"""
[cosmic-ray]
module-path = "tasks/{module}.py"
timeout = {SECONDS}
excluded-modules = []
test-command = "{command}"
[cosmic-ray.distributor]
name = "local"
"""
    path = folder / f"{module.replace('/', '.')}.toml"
    path.write_text(text)
    return path


def mutate(module: str, copy: Path) -> tuple[int, list[Survivor]]:
    """The number of mutants, and the survivors."""
    config, session = configure(module, copy.parent), copy.parent / f"{module.replace('/', '.')}.sqlite"
    cosmic_ray: list[str | Path] = [sys.executable, "-m", "cosmic_ray.cli"]
    for step in ("init", "exec"):
        subprocess.run([*cosmic_ray, step, config, session], cwd=copy, check=True)
    dump = [*cosmic_ray, "dump", session]
    dumped = subprocess.run(dump, cwd=copy, check=True, capture_output=True, text=True)
    results = [json.loads(line)[1] for line in dumped.stdout.splitlines()]
    return len(results), list(survivors(module, results))


def survivors(module: str, results: list[dict[str, str] | None]) -> Iterator[Survivor]:
    for result in results:
        if result and result["test_outcome"] == "survived":
            added = [line[1:].strip() for line in result["diff"].splitlines() if line[:1] == "+"]
            yield Survivor(module, " ".join(added[1:]).strip())


def known() -> set[str]:
    lines = KNOWN.read_text().splitlines() if KNOWN.exists() else []
    return {line for line in lines if line and not line.startswith("#")}


def main() -> int:
    """Exit status 1 where a mutant survived that survivors.txt does not list."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=[], metavar="module", choices=[[], *TESTS])
    chosen = parser.parse_args().modules or list(TESTS)
    unknown: list[Survivor] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*_cache", ".venv", ".git", ".hypothesis"))
        for module in chosen:
            count, found = mutate(module, copy)
            new = [survivor for survivor in found if str(survivor) not in known()]
            print(f"{module}: {count} mutants, {len(found)} survived, {len(new)} of them unknown", flush=True)  # noqa: T201
            unknown += new
    for survivor in unknown:
        print(survivor)  # noqa: T201
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
