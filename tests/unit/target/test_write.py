"""How long private keys stay in memory: no longer than their page is being sent."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

from tasks.domain.models import Change
from tasks.kube.client import ClusterClient
from tasks.kube.transport import Request, Response
from tasks.target.write import Outcome, Writer

PAGES, EACH = 3, 4


class Secret(dict[str, Any]):
    """One that can be watched for its end."""


class Ops(ClusterClient):
    """Counts, when a page is asked for, how many Secrets of earlier pages are still there."""

    def __init__(self) -> None:
        self._secrets: list[weakref.ref[Secret]] = []
        self.left: list[int] = []

    def _call(self, what: str, ask: Request) -> Response:  # noqa: ARG002  what a client is asked
        gc.collect()
        self.left.append(sum(secret() is not None for secret in self._secrets))
        number = len(self.left)
        items = [Secret(metadata={"name": f"web-{number}-{place}"}) for place in range(EACH)]
        self._secrets += map(weakref.ref, items)
        more = {"continue": str(number)} if number < PAGES else {}
        content = {"kind": "SecretList", "metadata": {"resourceVersion": "7", **more}, "items": items}
        return Response(200, content, 1)


class Hand(Writer):
    """Sends nothing, and is asked for all pages."""

    def __init__(self, source: Ops) -> None:
        self._source = source
        self.sent: list[str] = []

    def _pages(self, names: tuple[str, ...]) -> Iterator[list[dict[str, Any]]]:  # noqa: ARG002  all
        yield from self._source.tls_secrets("certificates-ops", {})

    def _apply_all(self, secret: dict[str, Any] | None, changes: list[Change]) -> list[Outcome]:  # noqa: ARG002
        self.sent += [secret["metadata"]["name"]] if secret else []
        return []


def test_the_keys_of_a_page_are_gone_before_the_next_one_comes() -> None:
    """However many certificates there are, those of one page are the most that a writer holds."""
    ops = Ops()
    hand = Hand(ops)
    names = [f"web-{number}-{place}" for number in range(1, PAGES + 1) for place in range(EACH)]
    assert list(hand._write({name: [] for name in names})) == []
    assert sorted(hand.sent) == names
    assert ops.left == [0] * PAGES
