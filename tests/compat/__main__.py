"""`make compat`: run the tests with other minor versions of cert-manager and Kubernetes.

Each version is pinned and built in a copy of this checkout, so that nothing here changes but the table of
versions in README.md. The first time each takes five to ten minutes to build. `python -m tests.compat
cert-manager` or `… cert-manager=v1.21.2 kubernetes=v1.35.4` tries only these.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deployments.sandbox.demo.prefect_server import ROOT
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import say
from tests.compat.checkout import Checkout
from tests.compat.table import Row, with_rows
from tests.compat.versions import PROGRAMS, Program

README = ROOT / "README.md"


def chosen(texts: list[str]) -> list[tuple[Program, str]]:
    """Return programs and versions; without any text, all. Raises SandboxError for another program."""
    found = []
    for text in texts or PROGRAMS:
        name, _, version = text.partition("=")
        if name not in PROGRAMS:
            raise SandboxError(f"{name} isn't one of {', '.join(PROGRAMS)}")
        found += [(PROGRAMS[name], one) for one in ((version,) if version else PROGRAMS[name].versions)]
    return found


def try_version(program: Program, version: str) -> Row:
    """Return a row whose tests are 0 where one failed."""
    with tempfile.TemporaryDirectory() as temporary:
        say(f"{program.title}: {version}")
        checkout = Checkout(Path(temporary) / "checkout", program, version)
        built = checkout.build().removeprefix("v")
        tests = checkout.test(Path(temporary) / "results.xml")
        return Row(program.title, built, tests, f"{datetime.now(UTC):%Y-%m-%d}")


def main() -> int:
    """Exit status 1 where a version could not be had, or a test failed. The table has what passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="program[=version]", help=f"of {', '.join(PROGRAMS)}")
    problems = []
    try:
        wanted = chosen(parser.parse_args().versions)
    except SandboxError as error:
        parser.error(str(error))
    for program, version in wanted:
        try:
            row = try_version(program, version)
        except SandboxError as error:
            problems.append(str(error))
            continue
        good = [row] if row.tests else []
        README.write_text(with_rows(README.read_text(), good, failed=[] if good else [row]))
        if not good:
            problems.append(
                f"{program.title} {row.version}: tests failed, see above; README.md no longer names it"
            )
    for problem in problems:
        say(problem)
    say(f"{len(wanted) - len(problems)} of {len(wanted)} versions passed; README.md has them")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
