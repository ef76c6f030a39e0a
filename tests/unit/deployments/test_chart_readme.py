"""The chart's README has every value of values.yaml, with its default."""

from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.chart import CHART, COMPONENTS, pod_options
from tests.unit.docs.pages import page

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
ROWS = [row for row in page(CHART / "README.md").rows if row[0].startswith("`")]
TOLD = {path.strip("`"): yaml.safe_load(default.strip("`")) for path, default, _ in ROWS}
OPTIONS = set(pod_options("worker"))


def is_option(path: str) -> bool:
    """Whether a row is one of the options that the pods of each component have."""
    return path.partition(".")[0] in OPTIONS


def expected() -> Iterator[tuple[str, Any]]:
    """Yield path and default of each row, where the rows of options stand for every component."""
    for path, default in TOLD.items():
        for component in COMPONENTS if is_option(path) else ("",):
            yield f"{component}.{path}".removeprefix("."), default


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value that is no mapping with keys."""
    for key, value in values.items():
        here = f"{path}.{key}".removeprefix(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here


def test_each_row_has_the_default_of_values_yaml() -> None:
    """A default in the table is, as YAML, what values.yaml has at that path."""
    for path, default in expected():
        at = VALUES
        for key in path.split("."):
            assert key in at, path
            at = at[key]
        assert at == default, path


def test_each_value_has_a_row() -> None:
    """Each value of values.yaml is in one row of the table, alone or within a mapping."""
    rows = [path for path, _ in expected()]
    for leaf in leaves(VALUES):
        covering = [path for path in rows if f"{leaf}.".startswith(f"{path}.")]
        assert len(covering) == 1, (leaf, covering)
    assert all(meaning for _, _, meaning in ROWS)


def test_the_options_of_pods_have_a_table_of_their_own() -> None:
    """It has each option, and the text before it each component."""
    assert {path.split(".")[0] for path in TOLD if is_option(path)} == OPTIONS
    text = page(CHART / "README.md").text.split("**Options of pods.**")[1].split("\n\n")[0]
    assert {component for component in COMPONENTS if f"`{component}`" in text} == set(COMPONENTS)
