"""Large answers: what counts is taken from one at a time."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tasks.answers import Problem
from tasks.transport import Ask, _parse

PAGE = bytearray(json.dumps({"kind": "Table", "metadata": {}}).encode())


def test_one_large_answer_at_a_time_is_whole_in_memory() -> None:
    """Sixteen clusters that answer at once are read one after the other."""
    lock, whole, most = threading.Lock(), 0, 0

    def read(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal whole, most
        with lock:
            whole += 1
            most = max(most, whole)
        time.sleep(0.01)
        with lock:
            whole -= 1
        return page

    ask = Ask("GET", "/", "application/json", read=read)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: _parse(ask, 200, PAGE), range(16)))
    assert most == 1
    assert answers == [{"kind": "Table", "metadata": {}}] * 16


def test_nothing_is_taken_from_a_refusal() -> None:
    """What reads a page never sees an answer that is none, and the next page is read all the same."""
    ask = Ask("GET", "/", "application/json", read=lambda page: {"rows": page["kind"]})
    assert isinstance(_parse(ask, 403, PAGE), Problem)
    assert _parse(ask, 200, PAGE) == {"rows": "Table"}
