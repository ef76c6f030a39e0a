"""Rules between values of the configuration, and messages for all faults. Pure."""

import shlex
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from tasks.config.faults import EMPTY, MISSING, Fault, Located, list_of
from tasks.config.metadata import metadata_faults
from tasks.config.route_rules import route_faults, shared_faults
from tasks.domain import names
from tasks.domain.text import printable

MAX_CLUSTERS = 1000
"""Maximum number of clusters in one configuration."""

EXAMPLE_UID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"

# pydantic's type of error -> message. Any other type has pydantic's own message.
REMEDIES = {
    "missing": MISSING,
    "extra_forbidden": "unknown key; correct or remove it",
    "string_type": "must be text; put it in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes; it is a share: 0.2 for 20 %",
    "invalid_key": "must be text; put it in quotes",
    "tuple_type": "must be a list",
    "too_short": EMPTY,
    "string_too_short": "must not be empty",
    "less_than": "must be below 1; it is a share: 0.2 for 20 %",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
}


def schema_faults(document: dict[str, Any], error: ValidationError) -> Iterator[Fault]:
    """Convert pydantic's errors, with the paths of the file."""
    for finding in error.errors(include_url=False, include_context=False, include_input=False):
        if finding["type"] == "too_short" and _at(document, finding["loc"]):
            continue  # pydantic counts only valid items, and the others have faults of their own
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "string_pattern_mismatch":  # only ids of clusters have a pattern
            message = _uid_message(document, finding["loc"])
        yield format_path(document, finding["loc"]), REMEDIES.get(finding["type"], message)


def _uid_message(document: Any, location: tuple[int | str, ...]) -> str:
    """Return what to give as clusterId, with the command that prints it for this cluster."""
    context = _at(document, (*location[: 2 if location[0] == "clusters" else 1], "context"))
    known = isinstance(context, str) and context and context.isprintable()
    option = f"--context {shlex.quote(context)} " if known and "formerClusterIds" not in location else ""
    command = f"kubectl {option}get namespace kube-system -o jsonpath='{{.metadata.uid}}'"
    return f"not the uid of a namespace, as in {EXAMPLE_UID}; `{command}` prints it"


def format_path(document: Any, location: tuple[int | str, ...]) -> str:
    """Format a path, with the name of the cluster: `clusters[1] (rct).routes[0].name`."""
    path = ""
    for depth, step in enumerate(location):
        path += f"[{step}]" if isinstance(step, int) else f"{'.' if path else ''}{printable(step)}"
        if depth == 1 and location[0] == "clusters":
            cluster = _at(document, location[:2])
            name = cluster.get("name") if isinstance(cluster, dict) else None
            path += f" ({name})" if isinstance(name, str) and names.is_namespace(name) else ""
    return path


def _at(document: Any, location: tuple[int | str, ...]) -> Any:
    """Return the value at a path of the raw document, or None."""
    for step in location:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def too_many_clusters(document: dict[str, Any]) -> list[Fault]:
    """Check the number of clusters before anything else: each could have faults of its own."""
    count = len(list_of(document, "clusters"))
    if count <= MAX_CLUSTERS:
        return []
    message = f"are {count:,}, at most {MAX_CLUSTERS:,}; make two configurations, each with its own `owner`"
    return [("clusters", message)]


def cross_faults(document: dict[str, Any]) -> Iterator[Fault]:
    """Check rules between values in the raw document, so that an invalid value does not hide other faults."""
    clusters = [
        (format_path(document, ("clusters", index)), cluster)
        for index, cluster in enumerate(list_of(document, "clusters"))
        if isinstance(cluster, dict)
    ]
    yield from _duplicates(clusters, "name", "the name of another cluster, too; give each its own")
    yield from _duplicates(
        clusters, "context", "the context of another cluster, too, {other}; correct one of both"
    )
    yield from _duplicates(
        clusters, "clusterId", "the clusterId of another cluster, too, {other}; correct one of both"
    )
    source = document.get("source")
    source_context = source.get("context") if isinstance(source, dict) else None
    yield from _prune_faults(clusters, source)
    yield from _former_faults(source)
    yield from _credentials_faults(clusters, source, document.get("credentials"))
    yield from _discover_faults(document)
    yield from _runner_faults(document.get("taskRunner"))
    for path, cluster in clusters:
        if source_context is not None and cluster.get("context") == source_context:
            yield f"{path}.context", "the context of the source, too; OPS can't be its own target"
        if cluster.get("protected") is True and not cluster.get("clusterId"):
            message = "is required where protected is true: the uid of its namespace kube-system"
            yield f"{path}.clusterId", message
    yield from shared_faults(document, clusters)
    yield from route_faults(document, clusters)
    yield from metadata_faults(document, clusters)
    yield from _mixed_groups(clusters, _fleet_label(document))


def _credentials_faults(clusters: list[Located], source: Any, credentials: Any) -> Iterator[Fault]:
    """A cluster has a context or a Secret, which is where nobody lists Secrets."""
    if credentials is None:
        for path, cluster in clusters:
            if cluster.get("context") is None:
                yield f"{path}.context", "is required; add it, or `credentials` where each has its own Secret"
    elif isinstance(credentials, dict) and isinstance(source, dict):
        namespace = credentials.get("namespace")
        if namespace is not None and namespace == source.get("namespace"):
            message = "is source.namespace, too; runs may list its Secrets: give credentials another one"
            yield "credentials.namespace", message


def _discover_faults(document: dict[str, Any]) -> Iterator[Fault]:
    """What is announced is served by Secrets, where nobody but tls-sync's administrators writes."""
    discover, credentials = document.get("discover"), document.get("credentials")
    if discover is None:
        if "clusters" not in document:
            yield "clusters", "is required; add it, or `discover` where clusters announce themselves on OPS"
        return
    if credentials is None:
        yield "credentials", "is required with discover: each discovered cluster has its own Secret"
    profiles = discover.get("clusterProfiles") if isinstance(discover, dict) else None
    namespace = profiles.get("namespace") if isinstance(profiles, dict) else None
    if namespace is None:
        return
    for key, other in (("credentials", credentials), ("source", document.get("source"))):
        if isinstance(other, dict) and other.get("namespace") == namespace:
            message = (
                f"is {key}.namespace, too; who announces clusters must not write Secrets: use another one"
            )
            yield "discover.clusterProfiles.namespace", message


DASK_SCHEMES, DASK_EXAMPLE = ("tcp", "tls"), "tcp://scheduler:8786"
"""Schemes and an example of the address of Dask's scheduler."""


def _runner_faults(runner: Any) -> Iterator[Fault]:
    """Dask needs an address; threads have none."""
    if not isinstance(runner, dict):
        return
    type_, address = runner.get("type", "threads"), runner.get("address")
    if type_ == "threads" and address is not None:
        yield "taskRunner.address", "goes with type: dask; threads are of the run's own process"
    if type_ == "dask" and address is None:
        yield "taskRunner.address", f"is required where type is dask: {DASK_EXAMPLE}"
    elif type_ == "dask" and isinstance(address, str) and not _is_server_address(address, DASK_SCHEMES):
        yield "taskRunner.address", f"not an address for dask; write it as in {DASK_EXAMPLE}"


def _is_server_address(address: str, schemes: tuple[str, ...]) -> bool:
    """Return whether the text is exactly `scheme://host:port`."""
    scheme, _, rest = address.partition("://")
    has_port = ":" in rest.rpartition("]")[2]
    return scheme in schemes and has_port and names.split_address(rest) is not None


def group_of_wave(wave: int) -> str:
    """Return the group of a cluster without `group`."""
    return f"wave-{wave}"


def group_of_label(value: str, wave: int) -> str:
    """Return the group of a cluster without `group` where the fleet's label has this value."""
    return f"{value}-{group_of_wave(wave)}"


def _fleet_label(document: dict[str, Any]) -> str:
    fleet = document.get("fleet")
    label = fleet.get("by") if isinstance(fleet, dict) else None
    return label if isinstance(label, str) else ""


def _mixed_groups(clusters: list[Located], by: str) -> Iterator[Fault]:
    """A group belongs to one wave, because a fleet runs its groups wave by wave."""
    first: dict[str, int] = {}
    for path, cluster in clusters:
        wave = cluster.get("wave", 1)
        if type(wave) is not int:
            continue
        labels = cluster.get("labels")
        value = labels.get(by) if by and isinstance(labels, dict) else None
        group = cluster.get("group")
        if not group and isinstance(value, str) and value:
            group = group_of_label(value, wave)
            if not names.is_namespace(group):
                yield f"{path}.labels", "the label of fleet.by names a group: a-z, 0-9 and -, at most 55"
        group = group or group_of_wave(wave)
        if isinstance(group, str) and first.setdefault(group, wave) != wave:
            waves = f"waves {first[group]} and {wave}; give the clusters of each wave a group of their own"
            yield f"{path}.group", f"the group {group!r} can't be of {waves}"


def _prune_faults(clusters: list[tuple[str, dict[str, Any]]], source: Any) -> Iterator[Fault]:
    """`prune` requires the clusterId of the cluster and of OPS."""
    pruned = [(path, cluster) for path, cluster in clusters if cluster.get("prune") is True]
    for path, cluster in pruned:
        if (
            not cluster.get("clusterId") and cluster.get("protected") is not True
        ):  # whose own fault says the same
            yield f"{path}.clusterId", "is required where prune is true: the uid of its namespace kube-system"
    if pruned and isinstance(source, dict) and not source.get("clusterId"):
        message = "is required where a cluster has prune: true: the uid of OPS's namespace kube-system"
        yield "source.clusterId", message


def _former_faults(source: Any) -> Iterator[Fault]:
    """The key formerClusterIds requires the present clusterId, which must not be among them."""
    former = list_of(source, "formerClusterIds") if isinstance(source, dict) else []
    if former and not source.get("clusterId"):
        yield "source.clusterId", "is required with formerClusterIds: the uid of OPS's namespace kube-system"
    seen: set[str] = set()
    for index, one in enumerate(former):
        path = f"source.formerClusterIds[{index}]"
        if not isinstance(one, str):
            continue
        if one in seen:
            yield path, "is there twice; keep one of them"
        elif one == source.get("clusterId"):
            yield path, "is the present clusterId; give those of clusters that it replaces"
        seen.add(one)


def _duplicates(clusters: list[tuple[str, dict[str, Any]]], key: str, message: str) -> Iterator[Fault]:
    """Yield a fault for each that has the value of an earlier one, which {other} in `message` names."""
    seen: dict[str, str] = {}
    for path, cluster in clusters:
        value = cluster.get(key)
        if isinstance(value, str) and value in seen:
            yield f"{path}.{key}", message.format(other=seen[value])
        elif isinstance(value, str):
            seen[value] = path
