"""How much memory a process may use, as its control group says."""

from pathlib import Path

import pytest

from tasks.runtime import memory
from tasks.runtime.memory import memory_limit


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "268435456\n"}, 268435456),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 268435456),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"memory.max": ""}, None),
        ({}, None),
    ],
    ids=["version 2", "version 1", "2, none", "1, none", "malformed", "no control group"],
)
def test_the_limit_is_that_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: int | None
) -> None:
    """Of either version of control groups; without one, or where it says nothing, there is no limit."""
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit() == limit
