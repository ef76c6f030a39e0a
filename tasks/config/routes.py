"""Routes and hostnames of one cluster, and those of the whole configuration, for several clusters. Pure.

What a cluster gets is the union of both. schema.py has the configuration around them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool

from tasks.config import values
from tasks.config.metadata import NOTHING_GIVEN, Metadata
from tasks.config.section import Section
from tasks.domain.models import Row, SecretRef
from tasks.domain.names import is_glob, is_name, is_namespace, matches, overlap
from tasks.domain.patterns import PatternIndex
from tasks.domain.placeholders import OWN_NAME, filled, glob_of, has_placeholder, taken_by
from tasks.domain.reasons import Reason

Namespace = Annotated[str, AfterValidator(values.namespace)]
TargetNamespace = Annotated[str, AfterValidator(values.target_namespace)]
NamespaceTemplate = Annotated[str, AfterValidator(values.namespace_template)]
NameTemplate = Annotated[str, AfterValidator(values.name_template)]
Label = Annotated[str, AfterValidator(values.label)]
Pattern = Annotated[str, AfterValidator(values.pattern)]
ClusterPattern = Annotated[str, AfterValidator(values.cluster_pattern)]
Hostname = Annotated[str, AfterValidator(values.hostname)]
FurtherKey = Annotated[str, AfterValidator(values.further_key)]
Address = Annotated[str, AfterValidator(values.address)]
Labels = Annotated[dict[str, str], AfterValidator(values.selector)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Row):
    """A limit of `selfService` that covers what a Certificate asks for; see self_service.py."""

    limit: str
    """Its path in the file."""
    hostnames: tuple[str, ...]
    """The DNS names that it allows, beside those of the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCopy(Row):
    """One copy that a route defines on a target."""

    target: SecretRef
    certificate: str
    literal: bool
    """Whether the route names it without a glob; then its absence is a failure."""
    refusal: Reason | None = None
    """Why it is not written, whatever OPS and the target have."""
    detail: str = ""
    metadata: Metadata = NOTHING_GIVEN
    """The labels and annotations that the route gives it."""
    keys: frozenset[str] = frozenset()
    """The further keys that it gets."""
    requester: str = ""
    """The Certificate that asks for it; empty where the configuration routes it."""
    grants: tuple[Grant, ...] = ()
    """The limits under which that was granted; one of them must allow all of the certificate's names."""


class Route(Section):
    certificates: tuple[Pattern, ...] = Field(min_length=1)
    namespaces: tuple[NamespaceTemplate, ...] = ()
    """As `name`, they may have placeholders: see tasks/domain/placeholders.py."""
    namespace_selector: Labels = Field(default_factory=dict)
    """Labels of the namespaces on the target. Until these are known (`with_selected`), there are none."""
    allowed_namespaces: tuple[TargetNamespace, ...] = ()
    """Where namespaces have placeholders: those that may come out. Nothing is sent to others."""
    name: NameTemplate | None = None
    served: tuple[Address, ...] = ()
    """Addresses at which applications serve these certificates; inventory and `waves.verify` ask them."""
    metadata: Metadata = NOTHING_GIVEN
    """Labels and annotations of its copies, with keys of `allowedMetadata`."""
    keys: tuple[FurtherKey, ...] = ()
    """Keys that its copies get beside tls.crt, tls.key and ca.crt; see tasks/domain/further_keys.py."""
    unverified: StrictBool = False
    """Whether keystores are among `keys`, which nobody can verify."""

    @property
    def possible_namespaces(self) -> tuple[str, ...]:
        """The namespaces in which it may write: those without placeholders, and the allowed ones."""
        return (*(one for one in self.namespaces if not has_placeholder(one)), *self.allowed_namespaces)

    @property
    def selector(self) -> str:
        """The `namespaceSelector` as the Kubernetes API has it; empty without one."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.namespace_selector.items()))

    def with_selected(self, found: Mapping[str, tuple[str, ...]]) -> Self:
        """Return the route with the namespaces that have its labels, by selector; without one, itself."""
        if not self.namespace_selector:
            return self
        part = "allowed_namespaces" if self.has_placeholders_in_namespaces else "namespaces"
        return self.model_copy(update={part: found.get(self.selector, ())})

    @property
    def has_placeholders_in_namespaces(self) -> bool:
        return any(map(has_placeholder, self.namespaces))

    @cached_property
    def further_keys(self) -> frozenset[str]:
        return frozenset(self.keys)

    @cached_property
    def has_placeholders(self) -> bool:
        return any(map(has_placeholder, (*self.namespaces, self.name or "")))

    def sends(self, certificate: str) -> bool:
        return any(matches(pattern, certificate) for pattern in self.certificates)

    def written_names(self, certificate: str | None = None) -> tuple[str, ...]:
        """Return names and globs of the Secrets that it writes, for one certificate or for all."""
        if self.name and self.name != OWN_NAME:
            return (glob_of(self.name),)
        return self.certificates if certificate is None else (certificate,)

    def may_write_under(self, names: Iterable[str]) -> bool:
        return any(overlap(one, name) for name in names for one in self.written_names())

    def senders(self, name: str, available: PatternIndex) -> Iterable[str]:
        """Return the certificates of OPS that it may write under a name."""
        if not self.may_write_under([name]):
            return ()
        if not self.name or self.name == OWN_NAME:
            return available.overlapping(name)
        return {one for pattern in self.certificates for one in available.overlapping(pattern)}

    def copies_of(self, certificate: str) -> Iterator[RoutedCopy]:
        """Yield the copies of one certificate, whether OPS has it or not."""
        for pattern in self.certificates:
            if matches(pattern, certificate):
                yield from self._copies(pattern, certificate)

    def beyond_allowed(self, certificate: str) -> list[str]:
        """Return the namespaces that a certificate's name yields and that are not allowed, sorted."""
        templates = filter(has_placeholder, self.namespaces)
        patterns = [one for one in self.certificates if matches(one, certificate)]
        found = (filled(one, certificate, taken_by(p, certificate)) for one in templates for p in patterns)
        return sorted({one for one in found if one and is_namespace(one)}.difference(self.allowed_namespaces))

    @property
    def concerned(self) -> tuple[str, ...]:
        """Names and globs of Secrets that it sends only once a Certificate asks for it (selfService)."""
        return ()

    def concerns(self, certificate: str) -> bool:
        """Return whether it may send it, now or once a Certificate asks for it."""
        return self.sends(certificate) or any(matches(pattern, certificate) for pattern in self.concerned)

    @property
    def granted_by(self) -> tuple[Grant, ...]:
        """The limits under which a request was granted; empty for a route of the configuration."""
        return ()

    def routed_copies(self, available: PatternIndex, explicit: str | None = None) -> Iterator[RoutedCopy]:
        """Yield the copies for the names that OPS has; literal names even if OPS does not have them.

        The explicit certificate counts as one that OPS has.
        """
        for pattern in self.certificates:
            names = set(available.overlapping(pattern)) if is_glob(pattern) else {pattern}
            if explicit and matches(pattern, explicit):
                names.add(explicit)
            for certificate in names:
                yield from self._copies(pattern, certificate)

    def _copies(self, pattern: str, certificate: str) -> Iterator[RoutedCopy]:
        literal = not is_glob(pattern)
        if self.has_placeholders:
            yield from self._filled_copies(certificate, taken_by(pattern, certificate), literal)
            return
        for namespace in self.namespaces:
            target = SecretRef(namespace=namespace, name=self.name or certificate)
            yield RoutedCopy(
                target=target,
                certificate=certificate,
                literal=literal,
                metadata=self.metadata,
                keys=self.further_keys,
            )

    def _filled_copies(self, certificate: str, taken: str | None, literal: bool) -> Iterator[RoutedCopy]:
        """Yield the copies in namespaces that are allowed, and those whose names are none, with a refusal."""
        name = filled(self.name or OWN_NAME, certificate, taken)
        for template in self.namespaces:
            namespace = filled(template, certificate, taken)
            valid = name and is_name(name) and namespace and is_namespace(namespace)
            if not valid or namespace == template or namespace in self.allowed_namespaces:
                yield RoutedCopy(
                    target=SecretRef(namespace=namespace or template, name=name or str(self.name)),
                    certificate=certificate,
                    literal=literal,
                    refusal=None if valid else Reason.INVALID_TARGET_NAME,
                    metadata=self.metadata,
                    keys=self.further_keys,
                )


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
