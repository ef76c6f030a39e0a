"""Rules between the keys of one route. Pure.

They look at the raw document, as those of route_rules.py.
"""

from collections.abc import Iterator
from typing import Any

from tasks.config.faults import EMPTY, MISSING, Fault, list_of, texts_of
from tasks.domain.further_keys import KEYSTORES
from tasks.domain.names import is_glob, matches
from tasks.domain.placeholders import TAKEN, glob_of, has_placeholder


def single_faults(path: str, route: dict[str, Any]) -> Iterator[Fault]:
    yield from _name_faults(path, route)
    yield from _namespace_faults(path, route)
    yield from _key_faults(path, route)
    yield from _allowed_faults(f"{path}.allowedNamespaces", route)
    if any(TAKEN in one for one in _templates(route)):
        for index, pattern in enumerate(list_of(route, "certificates")):
            if isinstance(pattern, str) and pattern.count("*") != 1:
                yield f"{path}.certificates[{index}]", "must have one *, since {1} is what it takes"


def _key_faults(path: str, route: dict[str, Any]) -> Iterator[Fault]:
    """What can't be verified is sent only where the file says so."""
    unverified, keys = route.get("unverified") is True, list_of(route, "keys")
    keystores = [index for index, key in enumerate(keys) if isinstance(key, str) and key in KEYSTORES]
    for index in () if unverified else keystores:
        message = "can't be verified, since its password is never read; add `unverified: true`, or remove it"
        yield f"{path}.keys[{index}]", message
    if unverified and not keystores:
        yield f"{path}.unverified", "goes with a keystore among `keys`; remove it"


def has_placeholders(route: dict[str, Any]) -> bool:
    return any(map(has_placeholder, _templates(route)))


def _templates(route: dict[str, Any]) -> list[str]:
    """Return what may have placeholders."""
    name = route.get("name")
    return [*texts_of(route, "namespaces"), *([name] if isinstance(name, str) else [])]


def _name_faults(path: str, route: dict[str, Any]) -> Iterator[Fault]:
    """One name for several certificates needs namespaces that tell them apart."""
    sent, name = texts_of(route, "certificates"), route.get("name")
    is_single = len(sent) == 1 and not is_glob(sent[0])
    if name is None or is_single or has_placeholder(str(name)):
        return
    namespaces = texts_of(route, "namespaces")
    if not namespaces or not all(map(has_placeholder, namespaces)):
        yield f"{path}.name", "goes with exactly one certificate, without a glob; split the route"


def _namespace_faults(path: str, route: dict[str, Any]) -> Iterator[Fault]:
    """The namespaces are named in the route, or have a label on the target."""
    selector, given = route.get("namespaceSelector"), route.get("namespaces")
    if not selector and given is None:
        yield f"{path}.namespaces", MISSING
    if not selector and given == []:
        yield f"{path}.namespaces", EMPTY
    if selector:
        for index, one in enumerate(list_of(route, "namespaces")):
            if isinstance(one, str) and not has_placeholder(one):
                yield (
                    f"{path}.namespaces[{index}]",
                    "goes into a route without namespaceSelector; move it there",
                )


def _allowed_faults(path: str, route: dict[str, Any]) -> Iterator[Fault]:
    """What placeholders in namespaces may yield is listed, so that there is a Role in each of them."""
    globs = [glob_of(one) for one in texts_of(route, "namespaces") if has_placeholder(one)]
    if globs and not (route.get("allowedNamespaces") or route.get("namespaceSelector")):
        yield path, "is required where namespaces have placeholders; list all that may come out"
    if route.get("allowedNamespaces") and route.get("namespaceSelector"):
        yield path, "goes without namespaceSelector, whose labels bound it; remove one of them"
    if not globs and route.get("allowedNamespaces"):
        yield path, "goes with placeholders in namespaces, as in {1}-dev; remove it"
    for index, one in enumerate(list_of(route, "allowedNamespaces")):
        if isinstance(one, str) and globs and not any(matches(glob, one) for glob in globs):
            yield f"{path}[{index}]", "none of `namespaces` can yield it; correct one of them"
