"""CHANGELOG.md has the form of Keep a Changelog, and each version that can be had."""

import re
from itertools import pairwise

from tests.unit.docs.pages import ROOT, page
from tests.unit.release.test_project_files import VERSION

HEADINGS = page(ROOT / "CHANGELOG.md").headings
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_RELEASED = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d")


def test_the_version_of_the_project_has_a_section() -> None:
    """What is not released stands first; then come the versions, the newest first, each with its date."""
    first, *versions = [title for level, title in HEADINGS if level == "h2"]
    assert first == "[Unreleased]"
    found = [match.groups() for title in versions if (match := _RELEASED.fullmatch(title))]
    assert len(found) == len(versions)
    assert ".".join(found[0]) == VERSION
    numbers = [tuple(map(int, one)) for one in found]
    assert numbers == sorted(numbers, reverse=True)


def test_each_change_has_one_of_the_known_kinds() -> None:
    """Readers look for six kinds of changes, in one order, and for what an upgrade asks of them."""
    sections: list[list[str]] = []
    for level, title in HEADINGS:
        if level == "h2":
            sections.append([])
        elif level == "h3":
            sections[-1].append(title)
    for section in sections:
        upgrade = [one for one in section if one not in KINDS]
        kinds = section[len(upgrade) :]
        assert set(kinds) <= set(KINDS)
        assert all(re.fullmatch(r"Upgrade from \d+\.\d+\.\d+", one) for one in upgrade)
        assert all(KINDS.index(one) < KINDS.index(other) for one, other in pairwise(kinds))
