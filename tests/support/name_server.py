"""A name server that hangs, in the place of the system's lookup, which can't be called off."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasks.runtime import resolver

NAME = "api.dev.example.org"
ADDRESS = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]
LONG = 120.0


class NameServer:
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []
        self.answer: Callable[[], Any] = lambda: ADDRESS

    def __call__(self, host: str, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        self.go.wait(LONG)
        return self.answer()


@contextmanager
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.go.set()
    with resolver._lock:
        left = [one for each in resolver._running.values() for one in each]
    for one in left:
        one.thread.join(LONG)
