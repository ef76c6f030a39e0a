"""Whether to compress lists: an unchanged look at a large namespace, with gzip and without, in turn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partialmethod
from typing import Any
from unittest.mock import patch

from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import HTTPConnectionPool

from deployments.sandbox.progress import Say
from tasks.domain.models import Action
from tasks.kube.transport import Transport
from tasks.plan.spec import SyncSpec
from tests.benchmarks.delivering import deliver_all
from tests.benchmarks.fleet import fleet
from tests.benchmarks.results import Result, seconds
from tests.benchmarks.sizes import Size
from tests.benchmarks.usage import Usage, middle, usage
from tests.benchmarks.world import World

ENCODINGS = ("gzip", "identity")


def compressed(world: World, size: Size, say: Say) -> Result:
    """What is between us and the API server passes it on as it comes."""
    world.resize(size.listed)
    with fleet(world, 1, say, everything=True) as one, one.orders(1) as orders:
        deliver_all(orders, Action.CREATE, size.listed)
        return _result(world, size, orders, say)


def _result(world: World, size: Size, orders: Sequence[SyncSpec], say: Say) -> Result:
    looks: dict[str, list[tuple[int, Usage]]] = {encoding: [] for encoding in ENCODINGS}
    for turn in range(size.listings):
        for encoding in ENCODINGS[:: 1 if turn % 2 else -1]:
            looks[encoding].append(_look(world, size, orders, encoding))
    sent = {encoding: max(count for count, _ in looks[encoding]) for encoding in ENCODINGS}
    for encoding in ENCODINGS:
        say(f"lists: {encoding}: {sent[encoding]} bytes, {seconds([u.seconds for _, u in looks[encoding]])}")
    ratio = round(sent["identity"] / sent["gzip"], 1)
    return Result(
        key="lists_compressed",
        what=f"a look at {size.listed} unchanged copies: bytes without gzip / with",
        value=ratio,
        unit="x",
        ours=f"{sent['gzip'] / 1024:.0f} KiB",
        other=f"{sent['identity'] / 1024:.0f} KiB",
        details={
            encoding: {
                "bytes": sent[encoding],
                "seconds": middle(one.seconds for _, one in looks[encoding]),
                "own_cpu_seconds": middle(one.own_cpu for _, one in looks[encoding]),
                "servers_cpu_seconds": middle(one.servers_cpu for _, one in looks[encoding]),
            }
            for encoding in ENCODINGS
        }
        | {"copies": size.listed},
    )


def _look(world: World, size: Size, orders: Sequence[SyncSpec], encoding: str) -> tuple[int, Usage]:
    """Bytes of all answers as they came, and what it took."""
    asked = partialmethod(_open, Transport._open, encoding)
    with patch.object(Transport, "_open", asked), _answers() as answers, usage(world.sandbox.pids) as used:
        deliver_all(orders, Action.KEEP, size.listed)
    return sum(answer.tell() for answer in answers), used


def _open(transport: Transport, opened: Callable[..., Any], encoding: str, *given: Any, **_: Any) -> Any:
    return opened(transport, *given[:2], encoding=encoding)


@contextmanager
def _answers() -> Iterator[list[BaseHTTPResponse]]:
    """The answers to all requests of this process."""
    found: list[BaseHTTPResponse] = []
    send: Callable[..., BaseHTTPResponse] = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, *given: Any, **options: Any) -> BaseHTTPResponse:
        found.append(send(pool, *given, **options))
        return found[-1]

    with patch.object(HTTPConnectionPool, "urlopen", urlopen):
        yield found
