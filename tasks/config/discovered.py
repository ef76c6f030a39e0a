"""Clusters that announce themselves by a ClusterProfile on OPS: the configuration with them. Pure.

A profile gives a name, labels and, to be compared, an address. Where a cluster is, and which one it is, comes
from the Secret with its kubeconfig alone: else whoever may write profiles could have our token sent anywhere.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.config.route_rules import shared_collision
from tasks.config.rules import MAX_CLUSTERS
from tasks.config.schema import Cluster, SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure
from tasks.domain.names import LABEL_KEY, LABEL_VALUE, is_host, is_namespace
from tasks.domain.parameters import RunParameters
from tasks.domain.text import printable

NO_LABEL = "its name is no DNS label: a-z, 0-9 and -, at most 63"
PORT = 443
ADDRESS_DIFFERS, CORRECT_IT = "AddressDiffers", "correct the one that is wrong"
"""A warning, and what to do."""
SETUP = (FailureCode.NO_CREDENTIAL, FailureCode.NOT_PINNED)
"""What a discovered cluster lacks until a person has been there; only its own Secret tells."""


class Profile(NamedTuple):
    """What a ClusterProfile says of its cluster."""

    name: str
    labels: Mapping[str, str] = {}
    addresses: tuple[str, ...] = ()


class DiscoveredCluster(Cluster):
    """A cluster that is in no file. Its clusterId is an annotation of the Secret with its kubeconfig."""

    addresses: tuple[str, ...] = ()
    """As the profile has them."""


class Discovered(NamedTuple):
    """The configuration with what is announced on OPS."""

    config: SyncConfig
    discovery: Discovery = Discovery()

    def for_run(self, parameters: RunParameters) -> "Discovered":
        """Return it as a run reports it: one for a part of the clusters has no rows about others.

        Raises ConfigError, with the reason, if it is for a cluster or group that could not be discovered.
        """
        cluster, group = parameters.cluster, parameters.group
        if cluster and cluster not in self.config.names:
            if cluster in self.discovery.unrouted:
                raise ConfigError(f"cluster={cluster!r}: it is announced, and no route is for it; add one")
            lacks = (one for one in self.discovery.unserved if one.cluster == cluster)
            self._refuse(f"cluster={cluster!r}", next(lacks, self.discovery.failure))
        if group and group not in {one.group_name for one in self.config.clusters}:
            self._refuse(f"group={group!r}", self.discovery.failure)
        if not (cluster or group):
            return self
        return self._replace(discovery=self.discovery.model_copy(update={"unserved": (), "unrouted": ()}))

    @staticmethod
    def _refuse(what: str, failure: Failure | None) -> None:
        if failure:
            raise ConfigError(f"{what}: {failure}. To do: {failure.code.remedy}")


def expand(config: SyncConfig, profiles: Iterable[Profile]) -> Discovered:
    """Return the configuration with the announced clusters that routes and hostnames are for.

    An entry under `clusters` counts more than a profile of its name.
    """
    found: list[Cluster] = []
    unserved: list[Failure] = []
    unrouted: list[str] = []
    waves = _waves_of_groups(config)
    collisions: dict[tuple[int, ...], str] = {}
    known = {*config.names}
    profiles = sorted((one for one in profiles if one.name not in known), key=lambda one: one.name)
    for profile in profiles:
        cluster, lack = _cluster(config, profile, waves, collisions)
        if lack is None and cluster and cluster.routes and len(found) + len(known) >= MAX_CLUSTERS:
            lack = _refused(profile.name, f"there are more than {MAX_CLUSTERS:,} clusters")
        if lack:
            unserved.append(lack)
        elif cluster and cluster.routes:
            found.append(cluster)
        else:
            unrouted.append(profile.name)
    announced = tuple(one.name for one in profiles if is_namespace(one.name))
    discovery = Discovery(
        is_configured=True, unserved=tuple(unserved), unrouted=tuple(unrouted), announced=announced
    )
    return Discovered(config.with_clusters(found), discovery)


def _cluster(
    config: SyncConfig, profile: Profile, waves: dict[str, int], collisions: dict[tuple[int, ...], str]
) -> tuple[Cluster | None, Failure | None]:
    """Return the cluster with all that is for it, or what it lacks.

    `waves` are those of the groups so far. Clusters with the same shared routes are alike: `collisions` is
    filled.
    """
    if not is_namespace(profile.name):
        return None, _refused(printable(profile.name)[:63], NO_LABEL)
    labels = {key: text for key, text in profile.labels.items() if _is_label(key, text)}
    wave = config.discover.wave_of(labels) if config.discover else 1
    given = {"name": profile.name, "labels": labels, "wave": wave, "protected": True}
    cluster = config.completed(DiscoveredCluster.model_validate(given | {"addresses": profile.addresses}))
    if not cluster.routes:
        return cluster, None
    if not cluster.hostnames:
        return None, _failure(FailureCode.NO_HOSTNAMES, profile.name, "look for its hostnames")
    group = cluster.group_name
    if not is_namespace(group):
        return None, _refused(profile.name, f"its label {config.fleet.by} can't name a group of a fleet")
    if waves.setdefault(group, wave) != wave:
        return None, _refused(profile.name, f"its group {group} is of wave {waves[group]}, too")
    chosen = tuple(n for n, one in enumerate(config.routes) if one.selects(cluster.name, labels))
    if chosen not in collisions:
        collisions[chosen] = shared_collision([(n, config.routes[n]) for n in chosen])
    why = collisions[chosen]
    return (None, _refused(profile.name, why)) if why else (cluster, None)


def _waves_of_groups(config: SyncConfig) -> dict[str, int]:
    return {one.group_name: one.wave for one in config.clusters}


def _is_label(key: str, text: str) -> bool:
    return bool(LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(text))


def _refused(cluster: str, detail: str) -> Failure:
    return _failure(FailureCode.PROFILE_REFUSED, cluster, "take its ClusterProfile", detail)


def _failure(code: FailureCode, cluster: str, what: str, detail: str = "") -> Failure:
    return Failure(code=code, cluster=cluster, what=what, detail=detail)


def pinned_id(cluster: Cluster, pin: str) -> str | None:
    """Return the clusterId that a cluster must have; `pin` is the one that stands beside its kubeconfig."""
    return (pin or "nothing") if isinstance(cluster, DiscoveredCluster) else cluster.cluster_id


def address_difference(cluster: Cluster, server: str) -> str:
    """Say how the profile's addresses differ from the kubeconfig's; empty where one is the same."""
    given = cluster.addresses if isinstance(cluster, DiscoveredCluster) else ()
    if not given or _place(server) in map(_place, given):
        return ""
    said = ", ".join(dict.fromkeys(_shown(one) for one in given[:3]))
    return f"its ClusterProfile has {said}, and its Secret {_shown(server)}, which is used"


def _place(address: str) -> tuple[str, int, str] | None:
    """Return host, port and path, as far as they tell places apart; None for what is no address."""
    try:
        url = urlsplit(address)
        host, port = (url.hostname or "").lower(), url.port or PORT
    except ValueError:
        return None
    return (host, port, url.path.rstrip("/")) if url.scheme == "https" and is_host(host) else None


def _shown(address: str) -> str:
    """Return scheme, host and port: the rest could be anything."""
    place = _place(address)
    if place is None:
        return "no https:// address"
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    return f"https://{host}:{place[1]}" + (" with a path" if place[2] else "")
