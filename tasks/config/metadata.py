"""Labels and annotations that routes give to copies, and which keys the configuration allows. Pure.

A key that some tool acts on would hand the copy to that tool, so the keys of tools that write, adopt or
delete objects are refused, whatever the file says (domain/names.py).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tasks.config import values
from tasks.config.faults import Fault, Located, list_of, texts_of
from tasks.config.section import Section
from tasks.domain.text import printable

PARTS = ("labels", "annotations")

AllowedKey = Annotated[str, AfterValidator(values.metadata_key)]
GivenLabels = Annotated[dict[str, str], AfterValidator(values.selector)]
GivenAnnotations = Annotated[dict[str, str], AfterValidator(values.annotations)]


class AllowedMetadata(Section):
    """The keys that routes may give; without it, none."""

    labels: tuple[AllowedKey, ...] = ()
    annotations: tuple[AllowedKey, ...] = ()


class Metadata(Section):
    """What one route gives to its copies."""

    labels: GivenLabels = Field(default_factory=dict)
    annotations: GivenAnnotations = Field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.record)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys, as in `labels/team`."""
        found = {"labels": self.labels, "annotations": self.annotations}
        return frozenset(f"{part}/{key}" for part in PARTS for key in found[part])

    @cached_property
    def record(self) -> str:
        """The keys as the copy notes them."""
        return " ".join(sorted(self.keys))


NOTHING_GIVEN = Metadata()


def metadata_faults(document: dict[str, Any], clusters: list[Located]) -> Iterator[Fault]:
    """Check that each key of a route is among the allowed ones."""
    allowed = _mapping(document, "allowedMetadata")
    known = {part: set(texts_of(allowed, part)) for part in PARTS}
    for path, route in _routes(document, clusters):
        for part in PARTS:
            for key in _mapping(_mapping(route, "metadata"), part):
                if isinstance(key, str) and key not in known[part]:
                    message = f"{printable(key)} is not in allowedMetadata.{part}; add it there, or remove it"
                    yield f"{path}.metadata.{part}", message


def _mapping(owner: dict[str, Any], key: str) -> dict[str, Any]:
    found = owner.get(key)
    return found if isinstance(found, dict) else {}


def _routes(document: dict[str, Any], clusters: list[Located]) -> Iterator[Located]:
    for path, owner in (("", document), *((f"{path}.", cluster) for path, cluster in clusters)):
        for index, route in enumerate(list_of(owner, "routes")):
            if isinstance(route, dict):
                yield f"{path}routes[{index}]", route
