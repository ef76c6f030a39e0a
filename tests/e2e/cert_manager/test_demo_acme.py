"""`make demo-acme`, as its users start it."""

import re
from pathlib import Path

import pytest

from deployments.sandbox.world.oracle import COPIES
from tests.apiserver.test_demo import command, left

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_demo_goes_from_the_order_to_the_handshake(tmp_path: Path) -> None:
    """Seven orders are valid, each copy is trusted before and after the renewal, and nothing is left."""
    with command("demo-acme", tmp_path) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    assert len(re.findall(r"^order: +\S.* is valid$", output, re.MULTILINE)) == 7
    assert len(re.findall(r"^trusted: https://", output, re.MULTILINE)) == 2 * len(COPIES)
    assert "differs: " not in output
    assert left(tmp_path) == ([], [])
