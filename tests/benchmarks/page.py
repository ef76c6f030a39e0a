"""`python -m tests.benchmarks.page`: bring the latest bench.json into docs/.

docs/benchmark.json gets its figures, docs/performance.md its table, docs/images the plots of growth. The text
of the page is written by hand, with figures of the committed docs/benchmark.json.
"""

import re

from deployments.sandbox.demo.prefect_server import ROOT
from tests.benchmarks import results
from tests.benchmarks.plots import draw
from tests.benchmarks.results import Content

DOCS = ROOT / "docs"
PAGE, NUMBERS, IMAGES = DOCS / "performance.md", DOCS / "benchmark.json", DOCS / "images"
LATEST = ROOT / "bench.json"
TITLES = {
    "certificates": "Reading OPS and three clusters' part, without the start of Prefect",
    "clusters": "Whole runs, from the start of the process to its exit",
}

_TABLE = re.compile(r"(<!-- table of benchmark\.json -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def with_table(page: str, content: Content) -> str:
    table = results.markdown(content["rows"].values())
    return _TABLE.sub(lambda found: found[1] + table + found[2], page)


def plots(content: Content) -> dict[str, str]:
    """Name of a file in docs/images -> its SVG."""
    return {
        f"growth-{over}.svg": draw(content["details"][f"growth_{over}"]["points"], over, title)
        for over, title in TITLES.items()
    }


def main() -> None:
    """Numbers of parts that bench.json does not have stay as they are."""
    content = results.merge(results.read(NUMBERS), results.read(LATEST))
    results.write(content, NUMBERS)
    PAGE.write_text(with_table(PAGE.read_text(), content))
    for name, image in plots(content).items():
        (IMAGES / name).write_text(image)


if __name__ == "__main__":
    main()
