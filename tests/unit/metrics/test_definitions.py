"""The definitions of metrics: their names, and that docs/metrics.md has them all."""

import re
from pathlib import Path

from tasks.metrics import definitions

ROOT = Path(__file__).parents[3]
FAMILIES = definitions.BY_NAME.values()


def test_the_page_lists_each_metric_and_no_other() -> None:
    """docs/metrics.md has name, labels and HELP text of each metric."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `tls_sync_")]
    assert rows == [
        f"| `{one.name}` | {', '.join(f'`{label}`' for label in one.labels) or '-'} | {one.help} |"
        for one in FAMILIES
    ]


def test_names_are_prometheus_names() -> None:
    """A name starts with tls_sync_ and ends with its unit; only counters end with _total."""
    for one in FAMILIES:
        assert re.fullmatch(r"tls_sync_[a-z]+(_[a-z]+)*", one.name)
        assert one.name.endswith("_total") == (one in definitions.COUNTERS)
        assert one.name.endswith("_seconds") == any(w in one.name for w in ("timestamp", "duration"))
    assert len({one.name for one in FAMILIES}) == len(FAMILIES)
