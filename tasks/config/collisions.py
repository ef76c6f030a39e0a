"""Copies that one Secret can't hold together, where placeholders, labels or requests decide it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from tasks.config.routes import Route, RoutedCopy
from tasks.domain.models import SecretRef
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited


def with_collisions(wanted: Iterable[RoutedCopy]) -> list[RoutedCopy]:
    """Return the copies, each once; those of several certificates for one Secret are refused, all of them.

    What a Certificate asks for yields to what routes send: the same copy is left out, and another one, which
    the labels of a namespace alone tell, is refused.
    """
    by_target, asked = defaultdict[SecretRef, list[RoutedCopy]](list), list[RoutedCopy]()
    for one in dict.fromkeys(wanted):
        (asked if one.requester else by_target[one.target]).append(one)
    routed = [copy for copies in by_target.values() for copy in _apart(copies)]
    return [*routed, *_yielding(asked, by_target)]


def _yielding(
    asked: Iterable[RoutedCopy], routed: Mapping[SecretRef, list[RoutedCopy]]
) -> Iterator[RoutedCopy]:
    for one in asked:
        senders = sorted({copy.certificate for copy in routed.get(one.target, ())})
        if not senders:
            yield one
        elif one.certificate not in senders:
            why = f"Certificate {one.requester}: a route sends {join_limited(senders)} there under this name"
            yield replace(one, refusal=Reason.REQUEST_CONFLICT, detail=why)


def _apart(copies: list[RoutedCopy]) -> list[RoutedCopy]:
    literal_last = sorted(copies, key=lambda one: (one.literal, one.certificate))
    by_certificate = {one.certificate: one for one in literal_last}
    if len({replace(one, literal=True) for one in copies}) == 1:
        return [*by_certificate.values()]
    senders = sorted(by_certificate)
    detail = join_limited(senders) if len(senders) > 1 else f"{senders[0]}, by routes that differ"
    refusal = partial(replace, refusal=Reason.TARGET_COLLISION, detail=detail)
    return [refusal(by_certificate[name]) for name in senders]


def collides(routes: Sequence[Route], certificate: str, available: PatternIndex) -> bool:
    """Return whether a copy of a certificate is refused, or a route writes another certificate over one.

    It asks only routes that may write under the same name, and not for all that they send.
    """
    copies = with_collisions(one for route in routes for one in route.copies_of(certificate))
    return any(
        copy.refusal is not None or any(_is_contested(route, copy, available) for route in routes)
        for copy in copies
    )


def _is_contested(route: Route, copy: RoutedCopy, available: PatternIndex) -> bool:
    return any(
        one.target == copy.target
        for other in route.senders(copy.target.name, available)
        if other != copy.certificate
        for one in route.copies_of(other)
    )
