"""`python -m tests.benchmarks.page`: bring the latest bench.json into docs/.

docs/benchmark.json gets its figures, docs/performance.md its table, docs/images the plots of growth. The text
of the page is written by hand, with figures of the committed docs/benchmark.json.
"""

import re
from collections.abc import Mapping
from typing import Any

from deployments.sandbox.demo.prefect_server import ROOT
from tests.benchmarks import results
from tests.benchmarks.plots import draw
from tests.benchmarks.results import Content

DOCS = ROOT / "docs"
PAGE, NUMBERS, IMAGES = DOCS / "performance.md", DOCS / "benchmark.json", DOCS / "images"
LATEST = ROOT / "bench.json"
TITLES = {
    "certificates": "Reading OPS and three clusters' part, without the start of Prefect",
    "clusters": "Whole runs, without the start of the process",
}
WITH_START = "Whole runs, from the start of the process to its exit"
"""Where growth over clusters was measured before the start was left out."""

_TABLE = re.compile(r"(<!-- table of benchmark\.json -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def with_table(page: str, content: Content) -> str:
    table = results.markdown(content["rows"].values())
    return _TABLE.sub(lambda found: found[1] + table + found[2], page)


def plots(content: Content) -> dict[str, str]:
    """Name of a file in docs/images -> its SVG."""
    return {
        f"growth-{over}.svg": draw(details["points"], over, _title(over, details))
        for over in TITLES
        if (details := content["details"].get(f"growth_{over}"))
    }


def _title(over: str, details: Mapping[str, Any]) -> str:
    return WITH_START if over == "clusters" and "start_left_out" not in details else TITLES[over]


def main() -> None:
    """Numbers of parts that bench.json does not have stay as they are."""
    content = results.merge(results.read(NUMBERS), results.read(LATEST))
    results.write(content, NUMBERS)
    PAGE.write_text(with_table(PAGE.read_text(), content))
    for name, image in plots(content).items():
        (IMAGES / name).write_text(image)


if __name__ == "__main__":
    main()
