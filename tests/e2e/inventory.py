"""Lists all objects of a cluster, to find what an installation leaves behind."""

from tests.e2e.machine import Machine

_COLUMNS = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
_PASSING = frozenset({"Event", "Lease", "PodMetrics", "NodeMetrics"})
"""Kinds whose objects come and go by themselves."""


def objects(machine: Machine) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of each object."""
    kinds = machine.kubectl("api-resources", "--verbs=list", "--output=name").split()
    wanted = [kind for kind in kinds if not kind.startswith(("events", "leases"))]
    lines = machine.kubectl("get", ",".join(wanted), "-A", "--output", _COLUMNS, "--no-headers").splitlines()
    found = {(kind, namespace, name) for kind, namespace, name in (line.split() for line in lines)}
    return {entry for entry in found if entry[0] not in _PASSING}
