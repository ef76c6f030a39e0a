"""The types of the configuration. A certificate that no route names is not sent anywhere.

Pure. load.py reads the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt

from tasks.config import rules, values
from tasks.config.collisions import collides, with_collisions
from tasks.config.metadata import AllowedMetadata, Metadata
from tasks.config.routes import (
    Hostname,
    Label,
    Labels,
    Namespace,
    Route,
    RoutedCopy,
    SharedHostnames,
    SharedRoute,
    selects,
)
from tasks.config.section import Section
from tasks.config.self_service import GrantedRoute, Limit
from tasks.domain.errors import ConfigError
from tasks.domain.models import MetadataKeys, SecretRef
from tasks.domain.names import UID, is_name
from tasks.domain.parameters import RunParameters
from tasks.domain.patterns import PatternIndex

Context = Annotated[str, Field(min_length=1), AfterValidator(values.context)]
LabelKey = Annotated[str, AfterValidator(values.label_key)]
ClusterId = Annotated[str, Field(min_length=1, pattern=f"^{UID.pattern}$")]

C = TypeVar("C", bound="Cluster")

CREDENTIAL_PREFIX = "tls-sync-kubeconfig-"
"""The Secret with the kubeconfig of one cluster is named so, and after the cluster."""


class Cluster(Section):
    name: Label
    context: Context | None = None
    """In the kubeconfig; None where the credential is a Secret of its own (`credentials`)."""
    protected: StrictBool = False
    cluster_id: ClusterId | None = None
    suspended: StrictBool = False
    allow_exec: StrictBool = False
    """Whether the kubeconfig may run an exec plugin for the credential."""
    wave: StrictInt = Field(default=1, ge=1, le=99)
    """Clusters with a lower wave go first; see tasks/plan/waves.py."""
    prune: StrictBool = False
    """Whether copies whose certificate is gone from OPS are deleted; see tasks/plan/prune.py."""
    group: Label | None = None
    """The clusters that one run of a fleet serves; see tasks/fleet/groups.py."""
    labels: Labels = Field(default_factory=dict)
    """By which routes and hostnames of the whole configuration are for it; see routes.py."""
    hostnames: tuple[Hostname, ...] = Field(default=(), min_length=1)
    """With those of the whole configuration that are for it, as `routes`."""
    routes: tuple[Route, ...] = Field(default=(), min_length=1)

    @property
    def admin_context(self) -> str:
        """The context in an operator's own kubeconfig, unless they name another one."""
        return self.context or self.name

    @property
    def group_name(self) -> str:
        return self.group or rules.group_of_wave(self.wave)

    def namespaces_of(self, certificate: str | None) -> tuple[str, ...]:
        """Return the namespaces to which routes send a certificate, or all routed ones for None; sorted."""
        if certificate is None:
            return tuple(sorted({ns for route in self.routes for ns in route.possible_namespaces}))
        copies = self.copies_of(certificate)
        return tuple(sorted({one.target.namespace for one in copies if not one.refusal}))

    def copies_of(self, certificate: str) -> tuple[RoutedCopy, ...]:
        """Return the copies of one certificate, whether OPS has it or not."""
        return tuple(dict.fromkeys(one for route in self.routes for one in route.copies_of(certificate)))

    def observed_namespaces(self, certificate: str | None) -> tuple[str, ...]:
        """Return these, and those in which a Certificate may ask for the copy, or have asked for it."""
        found = {*self.namespaces_of(certificate)}
        for route in self.routes if certificate else ():
            if route.concerned and route.concerns(str(certificate)):
                found.update(route.namespaces)
        return tuple(sorted(found))

    def routed_copies(self, available: PatternIndex, explicit: str | None = None) -> tuple[RoutedCopy, ...]:
        """Return the copies that the routes define, sorted; the certificate of the run counts as literal.

        Copies that one Secret can't hold together are refused, all of them.
        """
        wanted = [want for route in self.routes for want in route.routed_copies(available, explicit)]
        wanted = [replace(w, literal=True) if w.certificate == explicit else w for w in wanted]
        if self.collides_late:
            wanted = with_collisions(wanted)
        return tuple(sorted(wanted, key=lambda want: (want.target.namespace, want.target.name)))

    @property
    def collides_late(self) -> bool:
        """Whether only the names on OPS, or the labels on the target, tell that routes write one Secret."""
        return any(route.has_placeholders or route.namespace_selector for route in self.routes)

    def selectors_of(self, certificate: str | None) -> tuple[str, ...]:
        """Return the selectors of namespaces that decide where a certificate goes, or all for None; sorted.

        They are those of the routes that send it, and of those that may write another one under its name.
        """
        selecting = [one for one in self.routes if one.namespace_selector]
        if selecting and certificate is not None:
            sending = (one for one in self.routes if one.sends(certificate))
            names = [name for one in sending for name in one.written_names(certificate)]
            selecting = [one for one in selecting if one.may_write_under(names)]
        return tuple(sorted({route.selector for route in selecting}))

    def collides(self, certificate: str, available: PatternIndex) -> bool:
        """Return whether another certificate that OPS has may be written over a copy of this one."""
        return self.collides_late and collides(self.routes, certificate, available)

    def with_selected(self, found: Mapping[str, tuple[str, ...]]) -> "Cluster":
        """Return the cluster with the namespaces that have the labels, by selector."""
        routes = tuple(route.with_selected(found) for route in self.routes)
        return self.model_copy(update={"routes": routes}) if self.selectors_of(None) else self

    def routes_certificate(self, certificate: str) -> bool:
        return any(route.sends(certificate) for route in self.routes)

    @property
    def given_metadata(self) -> tuple[Metadata, ...]:
        """The labels and annotations that its routes give to copies."""
        return tuple(route.metadata for route in self.routes if route.metadata.keys)

    @property
    def further_keys(self) -> frozenset[str]:
        """The keys beside tls.crt, tls.key and ca.crt that any of its routes sends."""
        return frozenset(key for route in self.routes for key in route.keys)

    @property
    def metadata_keys(self) -> MetadataKeys:
        given = self.given_metadata
        return MetadataKeys(
            labels=frozenset(key for one in given for key in one.labels),
            annotations=frozenset(key for one in given for key in one.annotations),
        )

    def may_get(self, certificate: str) -> bool:
        """Return whether routes send it here, or may once its Certificate asks for it."""
        return any(route.concerns(certificate) for route in self.routes)


class Source(Section):
    namespace: Namespace
    context: Context | None = None
    cluster_id: ClusterId | None = None
    former_cluster_ids: tuple[ClusterId, ...] = ()
    """The uids of OPS clusters that this one replaces: copies that they wrote are ours."""
    selector: Labels = Field(default_factory=dict)
    allow_self_signed: StrictBool = False
    allow_exec: StrictBool = False
    events: StrictBool = False
    """Whether Kubernetes Events on cert-manager's Certificates say what was copied and refused; see
    tasks/report/kubernetes_events.py."""

    @property
    def label(self) -> str:
        """The name of OPS in messages."""
        return "OPS"


class Credentials(Section):
    """The Secrets of clusters without `context`: one each, on OPS, read by name."""

    namespace: Namespace

    def secret_of(self, cluster: str) -> SecretRef:
        return SecretRef(namespace=self.namespace, name=f"{CREDENTIAL_PREFIX}{cluster}")


class ClusterProfiles(Section):
    """Which ClusterProfiles of SIG Multicluster announce clusters; they are on OPS."""

    namespace: Namespace
    selector: Labels = Field(default_factory=dict)


class DiscoveredWave(Section):
    labels: Labels = Field(min_length=1)
    wave: StrictInt = Field(ge=1, le=99)


class Discover(Section):
    """Clusters that announce themselves; see tasks/config/discovered.py."""

    cluster_profiles: ClusterProfiles
    waves: tuple[DiscoveredWave, ...] = ()
    """The first one whose labels a cluster has counts; else it is in wave 1."""

    def wave_of(self, labels: Mapping[str, str]) -> int:
        matching = (one.wave for one in self.waves if selects((), one.labels, "", labels))
        return next(matching, 1)


class Waves(Section):
    max_failed_share: StrictFloat = Field(default=0.2, ge=0, lt=1)
    """Maximum share of a wave's copies that may fail; above it, later waves write only what is urgent."""
    verify: Literal["served"] | None = None
    """Whether later waves wait until the addresses of the waves before present the new certificates."""


class Fleet(Section):
    """How clusters are grouped, where the schedule starts a fleet of runs."""

    by: LabelKey | None = None
    """A label: the clusters of a wave that have the same value are a group, `<value>-wave-<wave>`."""


class TaskRunner(Section):
    """What runs the tasks of the clusters; see tasks/orchestration/task_runners.py."""

    type: Literal["threads", "dask"] = "threads"
    address: str | None = None
    """Address of Dask's scheduler; None for threads."""


class SyncConfig(Section):
    owner: Label
    source: Source
    credentials: Credentials | None = None
    discover: Discover | None = None
    waves: Waves = Waves()
    task_runner: TaskRunner = TaskRunner()
    fleet: Fleet = Fleet()
    allowed_metadata: AllowedMetadata = AllowedMetadata()
    """Keys of labels and annotations that routes may give to copies."""
    hostnames: tuple[SharedHostnames, ...] = Field(default=(), min_length=1)
    routes: tuple[SharedRoute, ...] = Field(default=(), min_length=1)
    self_service: tuple[Limit, ...] = Field(default=(), min_length=1)
    """What Certificates may ask for; without it, what they say is nothing."""
    clusters: tuple[Cluster, ...] = Field(default=(), min_length=1)
    """Without `discover`, at least one."""

    def expanded(self) -> "SyncConfig":
        """Return the configuration with all routes and hostnames of each cluster, and its group."""
        return self.model_copy(update={"clusters": tuple(map(self.completed, self.clusters))})

    def with_clusters(self, more: Iterable[Cluster]) -> "SyncConfig":
        """Return the configuration with further clusters, which are completed."""
        return self.model_copy(update={"clusters": (*self.clusters, *more)})

    @cached_property
    def limit_routes(self) -> tuple[GrantedRoute, ...]:
        """What Certificates may ask for, as routes without certificates: one object for all clusters."""
        return tuple(GrantedRoute.of(*numbered) for numbered in enumerate(self.self_service))

    def completed(self, one: C) -> C:
        """Return a cluster with the routes and hostnames that are for several, and its group."""
        routes: list[Route] = [
            *one.routes,
            *(shared for shared in self.routes if shared.selects(one.name, one.labels)),
        ]
        routes += [
            route for route in self.limit_routes if route.limit and route.limit.selects(one.name, one.labels)
        ]
        selected = (shared for shared in self.hostnames if shared.selects(one.name, one.labels))
        hostnames = [*one.hostnames, *(name for shared in selected for name in shared.names)]
        label = one.labels.get(self.fleet.by) if self.fleet.by else None
        group = one.group or (rules.group_of_label(label, one.wave) if label else None)
        unique = tuple(dict.fromkeys(hostnames))
        return one.model_copy(update={"routes": tuple(routes), "hostnames": unique, "group": group})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(cluster.name for cluster in self.clusters)

    @property
    def suspended(self) -> tuple[str, ...]:
        return tuple(cluster.name for cluster in self.clusters if cluster.suspended)

    @property
    def uses_kubeconfig(self) -> bool:
        """Whether OPS or a cluster has a context in the kubeconfig."""
        contexts = (self.source.context, *(one.context for one in self.clusters))
        return any(one is not None for one in contexts)

    def members(self, group: str | None) -> tuple[str, ...]:
        """Return the clusters of a group, or all for None, including suspended ones."""
        return tuple(cluster.name for cluster in self.clusters if group in (None, cluster.group_name))

    @property
    def first_wave(self) -> tuple[Cluster, ...]:
        """The clusters with the lowest wave, without suspended ones."""
        awake = [cluster for cluster in self.clusters if not cluster.suspended]
        first = min((cluster.wave for cluster in awake), default=0)
        return tuple(cluster for cluster in awake if cluster.wave == first)

    @property
    def last_wave(self) -> int:
        """The highest wave of a cluster that is not suspended."""
        return max((cluster.wave for cluster in self.clusters if not cluster.suspended), default=0)

    def named(self, cluster: str | None) -> tuple[Cluster, ...]:
        """Return one cluster, or all for None, including suspended ones.

        Raises ConfigError if it is unknown.
        """
        if cluster is None:
            return self.clusters  # none yet, it may be, where they announce themselves
        chosen = tuple(c for c in self.clusters if c.name == cluster)
        if not chosen:
            known = ", ".join(c.name for c in self.clusters)
            raise ConfigError(f"cluster={cluster!r}: no such cluster; known are: {known}")
        return chosen

    def grouped(self, group: str) -> tuple[Cluster, ...]:
        """Return the clusters of a group, without suspended ones. Raises ConfigError if there are none."""
        members = tuple(c for c in self.clusters if c.group_name == group)
        if not members:
            known = ", ".join(dict.fromkeys(c.group_name for c in self.clusters))
            raise ConfigError(f"group={group!r}: no such group; known are: {known}")
        awake = tuple(c for c in members if not c.suspended)
        if not awake:
            raise ConfigError(f"group={group!r}: all its clusters are suspended")
        return awake

    def select(self, parameters: RunParameters) -> tuple[Cluster, ...]:
        """Return the clusters that a run with these parameters is for, without suspended ones.

        Raises ConfigError if cluster or group is unknown or suspended, or if no route names the certificate.
        """
        cluster, certificate, group = parameters.cluster, parameters.certificate, parameters.group
        if cluster is not None and group is not None:
            raise ConfigError(f"cluster={cluster!r} and group={group!r}: give one of them")
        chosen = self.named(cluster) if group is None else self.grouped(group)
        if cluster is not None and chosen[0].suspended:
            raise ConfigError(f"cluster={cluster!r}: it is suspended; set `suspended: false` first")
        chosen = tuple(c for c in chosen if not c.suspended)
        if certificate is None:
            return chosen
        if not is_name(certificate):
            raise ConfigError(f"certificate={certificate!r}: not the name of a Secret")
        routing = tuple(c for c in chosen if c.may_get(certificate))
        if not routing:
            for one in self.clusters:
                if one.suspended and one.may_get(certificate):
                    raise ConfigError(f"certificate={certificate!r}: only suspended clusters get it")
            patterns = {p for c in chosen for route in c.routes for p in route.certificates}
            known = ", ".join(sorted(patterns))
            raise ConfigError(f"certificate={certificate!r}: no route sends it; routed are: {known}")
        return routing
