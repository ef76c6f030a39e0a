"""The table of versions that `make compat` writes."""

import re

from deployments.sandbox.demo.prefect_server import ROOT
from tests.compat.__main__ import chosen
from tests.compat.table import Row, rows, with_rows
from tests.compat.versions import PROGRAMS

PAGE = "before\n<!-- written by make compat -->\n\nold\n\n<!-- end -->\nafter\n"
OLD = Row("Kubernetes", "1.34.4", 70, "2026-11-01")
OTHER = Row("cert-manager", "1.9.1", 40, "2026-11-01")
NEW = Row("Kubernetes", "1.34.10", 71, "2026-12-01")


def test_what_is_written_is_read() -> None:
    """The table has each row, ordered by program and version, and the rest of the page stays."""
    later = Row("cert-manager", "1.10.0", 40, "2026-11-01")
    page = with_rows(PAGE, [OTHER, later, OLD])
    assert rows(page) == [OLD, OTHER, later]
    assert (page[:7], page[-7:]) == ("before\n", "\nafter\n")


def test_a_new_patch_replaces_the_row_of_its_minor_version() -> None:
    """What was not tried this time keeps its row."""
    assert rows(with_rows(with_rows(PAGE, [OLD, OTHER]), [NEW])) == [NEW, OTHER]


def test_what_failed_is_no_longer_named() -> None:
    """A version whose tests failed loses its row."""
    page = with_rows(with_rows(PAGE, [OLD, OTHER]), [], failed=[NEW._replace(tests=0)])
    assert rows(page) == [OTHER]


def test_the_readme_names_each_version_that_is_tried() -> None:
    """The table in README.md has a row for each minor version of tests/compat/versions.py, and no other."""
    found = {(row.title, row.minor) for row in rows((ROOT / "README.md").read_text())}
    wanted = {
        (program.title, Row(program.title, version.removeprefix("v"), 0, "").minor)
        for program, version in chosen([])
    }
    assert found == wanted


def test_the_version_of_all_other_tests_is_among_them() -> None:
    """What go.mod pins has a row, too."""
    for program in PROGRAMS.values():
        assert program.source.module_version in program.versions
        assert all(re.fullmatch(r"v1\.\d+\.\d+", version) for version in program.versions)
