"""docs/architecture.md tells of what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}


def test_each_package_has_a_paragraph() -> None:
    """Every package of tasks/ is told of, and none that is not there."""
    told = re.findall(r"\*\*([a-z]+)/\*\*", PAGE)
    assert sorted(told) == sorted(PACKAGES)


def test_each_file_that_is_named_exists() -> None:
    """The links, and the files in the table of changes."""
    links = re.findall(r"\]\(\.\./([\w/.]+)\)", PAGE)
    table = PAGE[PAGE.index("| change | files |") :]
    named = re.findall(r"[\w/]+\.(?:py|md)", table.replace("\\", ""))
    assert len(links) > 10
    assert len(named) > 15
    places = (ROOT, ROOT / "tasks")
    assert [one for one in links + named if not any((place / one).is_file() for place in places)] == []
