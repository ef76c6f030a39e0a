"""`python -m tests.benchmarks.page`: bring docs/performance.md, its plots and its numbers to bench.json.

bench.json is what was measured last, here. docs/benchmark.json is the copy that the page was made from.
"""

import re
import sys

from deployments.sandbox.demo.prefect_server import ROOT
from tests.benchmarks import results
from tests.benchmarks.figures import BLOCKS, plots
from tests.benchmarks.sentences import Measured

DOCS = ROOT / "docs"
PAGE, NUMBERS, IMAGES = DOCS / "performance.md", DOCS / "benchmark.json", DOCS / "images"
LATEST = ROOT / "bench.json"

_BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def filled(page: str, measured: Measured) -> str:
    """The page with what stands between its markers made anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]](measured)}\n\n{found[3]}", page)


def main() -> int:
    measured = results.read(LATEST) or results.read(NUMBERS)
    try:
        page, images = filled(PAGE.read_text(), measured), plots(measured)
    except KeyError as error:
        sys.stderr.write(f"{error} was not measured: `make bench` measures all that the page needs\n")
        return 1
    PAGE.write_text(page)
    for name, image in images.items():
        (IMAGES / name).write_text(image)
    results.write(measured, NUMBERS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
