"""Routes and hostnames of one cluster, and those of the whole configuration, for several clusters. Pure.

What a cluster gets is the union of both. schema.py has the configuration around them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tasks.config import values
from tasks.domain.models import Model, Row, SecretRef
from tasks.domain.names import is_glob, matches
from tasks.domain.patterns import PatternIndex

Namespace = Annotated[str, AfterValidator(values.namespace)]
TargetNamespace = Annotated[str, AfterValidator(values.target_namespace)]
Name = Annotated[str, AfterValidator(values.name)]
Label = Annotated[str, AfterValidator(values.label)]
Pattern = Annotated[str, AfterValidator(values.pattern)]
ClusterPattern = Annotated[str, AfterValidator(values.cluster_pattern)]
Hostname = Annotated[str, AfterValidator(values.hostname)]
Address = Annotated[str, AfterValidator(values.address)]
Labels = Annotated[dict[str, str], AfterValidator(values.selector)]


class Section(Model):
    model_config = ConfigDict(alias_generator=to_camel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCopy(Row):
    """One copy that a route defines on a target."""

    target: SecretRef
    certificate: str
    literal: bool
    """Whether the route names it without a glob; then its absence is a failure."""


class Route(Section):
    certificates: tuple[Pattern, ...] = Field(min_length=1)
    namespaces: tuple[TargetNamespace, ...] = Field(min_length=1)
    name: Name | None = None
    served: tuple[Address, ...] = ()
    """Addresses at which applications serve these certificates; only the inventory connects to them."""

    def sends(self, certificate: str) -> bool:
        return any(matches(pattern, certificate) for pattern in self.certificates)

    def routed_copies(self, available: PatternIndex, explicit: str | None = None) -> Iterator[RoutedCopy]:
        """Yield the copies for the names that OPS has; literal names even if OPS does not have them.

        The explicit certificate counts as one that OPS has.
        """
        for pattern in self.certificates:
            literal = not is_glob(pattern)
            names = {pattern} if literal else set(available.overlapping(pattern))
            if explicit and matches(pattern, explicit):
                names.add(explicit)
            for certificate in names:
                for namespace in self.namespaces:
                    target = SecretRef(namespace=namespace, name=self.name or certificate)
                    yield RoutedCopy(target=target, certificate=certificate, literal=literal)


class ClusterSelection(Section):
    """Which clusters something is for: those that have one of these names, and all of these labels."""

    clusters: tuple[ClusterPattern, ...] = Field(default=(), min_length=1)
    labels: Labels = Field(default_factory=dict)

    def selects(self, name: str, labels: Mapping[str, str]) -> bool:
        return selects(self.clusters, self.labels, name, labels)


def selects(
    patterns: tuple[str, ...], wanted: Mapping[str, str], name: str, labels: Mapping[str, str]
) -> bool:
    """Return whether a cluster with this name and these labels is selected; without patterns, any name is."""
    named = not patterns or any(matches(pattern, name) for pattern in patterns)
    return named and all(labels.get(key) == value for key, value in wanted.items())


class SharedRoute(Route, ClusterSelection):
    """A route for several clusters."""


class SharedHostnames(ClusterSelection):
    """DNS names that certificates of several clusters may have."""

    names: tuple[Hostname, ...] = Field(min_length=1)
