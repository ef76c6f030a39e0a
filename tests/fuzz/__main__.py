"""Part of `make soak`, or `python -m tests.fuzz --cases 5000 --seed 7` for a short look."""

import argparse
import sys
from collections import Counter

from tests.fuzz.cases import run

STEP = 1000


def main() -> int:
    """Exit with status 1 and a traceback if a case raises or takes too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    outcomes, longest = Counter[tuple[str, str]](), 0.0
    print(f"seed {given.seed}")  # noqa: T201
    for number, one in enumerate(run(given.seed, given.cases), start=1):
        outcomes[one.kind, one.what] += 1
        longest = max(longest, one.seconds)
        if number % STEP == 0:
            sys.stderr.write(f"\r{number} of {given.cases} cases, the longest took {longest:.2f} s of CPU  ")
    sys.stderr.write("\n")
    for (kind, what), count in sorted(outcomes.items()):
        print(f"{count:8d} {kind}: {what}")  # noqa: T201
    print(f"{given.cases} cases, each a value; the longest took {longest:.2f} s of CPU")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
