"""Measurements of these tests, written to e2e.json beside bench.json; no test asserts them."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "e2e.json"


def write(key: str, value: Any) -> None:
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps({**known, key: value}, indent=2, sort_keys=True) + "\n")
