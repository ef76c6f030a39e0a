"""What application teams may ask for in their Certificates, and the routes that were granted. Pure.

tasks/plan/requests.py grants.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from pydantic import Field

from tasks.config.routes import (
    ClusterSelection,
    Grant,
    Hostname,
    Pattern,
    Route,
    RoutedCopy,
    TargetNamespace,
)
from tasks.domain.models import SecretRef
from tasks.domain.patterns import PatternIndex


class Limit(ClusterSelection):
    """One limit of `selfService`. A request is granted where one of them covers all of it."""

    certificates: tuple[Pattern, ...] = Field(min_length=1)
    """Names and globs of Secrets on OPS, as in routes: what is copied is the Secret."""
    namespaces: tuple[TargetNamespace, ...] = Field(min_length=1)
    hostnames: tuple[Hostname, ...] = Field(min_length=1)
    """DNS names that its certificates may have; the cluster must allow them, too."""


def limit_path(index: int) -> str:
    return f"selfService[{index}]"


class GrantedRoute(Route):
    """What a cluster gets because Certificates ask for it; without `certificates`, what they may ask for.

    Nobody writes it into the configuration. It is in a cluster for each limit, so that the limit's namespaces
    are known and looked at, and for each namespace of which a request was granted. A Secret that OPS does not
    have is no failure, as with a glob.
    """

    certificates: tuple[str, ...] = ()
    limit: Limit | None = None
    """What Certificates may ask for, where nothing was granted yet."""
    index: int = 0
    """The number of that limit in the configuration."""
    grants: tuple[Grant, ...] = ()
    requesters: Mapping[str, str] = Field(default_factory=dict)
    """The Certificate that asks for each Secret."""

    @classmethod
    def of(cls, index: int, limit: Limit) -> "GrantedRoute":
        """The route of a limit of which nothing was granted yet."""
        grant = Grant(limit=limit_path(index), hostnames=limit.hostnames)
        return cls(namespaces=limit.namespaces, limit=limit, index=index, grants=(grant,))

    @cached_property
    def _sent(self) -> frozenset[str]:
        return frozenset(self.certificates)

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The namespaces, which many requests are compared with."""
        return frozenset(self.namespaces)

    def sends(self, certificate: str) -> bool:
        return certificate in self._sent

    @property
    def concerned(self) -> tuple[str, ...]:
        return self.limit.certificates if self.limit else ()

    @property
    def granted_by(self) -> tuple[Grant, ...]:
        return self.grants

    def copies_of(self, certificate: str) -> Iterator[RoutedCopy]:
        for namespace in self.namespaces if self.sends(certificate) else ():
            yield RoutedCopy(
                target=SecretRef(namespace=namespace, name=certificate),
                certificate=certificate,
                literal=False,
                requester=self.requesters.get(certificate, certificate),
                grants=self.grants,
            )

    def routed_copies(self, available: PatternIndex, explicit: str | None = None) -> Iterator[RoutedCopy]:
        """Yield the copies of what OPS has, and of the explicit certificate."""
        for certificate in self.certificates:
            if certificate == explicit or available.overlapping(certificate):
                yield from self.copies_of(certificate)
