"""Brings together the threads of a process that reach the same point at about the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any


class _Group:
    def __init__(self, expected: set[str]) -> None:
        self.members: list[Any] = []
        self.expected = expected
        """Whom it waits for: those who were expected when it was opened."""
        self.made: Any = None
        """What the group has in common, once it is closed."""


class Gathering:
    """Who comes while a group is open joins it; who comes later joins the next one."""

    def __init__(self) -> None:
        self._changed, self._expected = Condition(), set[str]()
        self._open: _Group | None = None

    @contextmanager
    def expecting(self, name: str) -> Iterator[None]:
        """Inside the block, groups wait for this name until it joins one or is dropped."""
        with self._changed:
            self._expected.add(name)
        try:
            yield
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Groups need not wait for this name any more."""
        with self._changed:
            self._expected.discard(name)
            self._changed.notify_all()

    def join(self, name: str, member: Any, make: Callable[[list[Any]], Any], seconds: float) -> Any:
        """Return what `make` returns for all members of the group, the same object to each of them.

        The group is closed once nobody is expected that was when it was opened, or when the first of these
        times is over.
        """
        with self._changed:
            self._expected.discard(name)
            self._changed.notify_all()
            group = self._open = self._open or _Group(self._expected.copy())
            group.members.append(member)
            self._changed.wait_for(lambda: group.made or not group.expected & self._expected, seconds)
            if group.made is None:
                group.made, self._open = make(group.members), None
                self._changed.notify_all()
            return group.made
