"""The clusters and groups of the configuration as choices of parameters, for the forms of the UI. Pure."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from tasks.config.schema import SyncConfig

Choices = Mapping[str, Sequence[str]]
"""Name of a parameter -> the texts that may be chosen."""


def choices_for(deployment: str, config: SyncConfig) -> Choices:
    """Return the choices of a deployment; a suspended cluster can be asked about, but not be served.

    Where clusters announce themselves there are none: a name may be new tomorrow.
    """
    if config.discover:
        return {}
    awake = [cluster for cluster in config.clusters if not cluster.suspended]
    if deployment.startswith("tls-sync/"):
        groups = dict.fromkeys(cluster.group_name for cluster in awake)
        return {"cluster": [cluster.name for cluster in awake], "group": [*groups]}
    return {"cluster": config.names}


def with_choices(schema: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """Return a parameter schema in which the texts of these parameters are enumerated; null stays possible.

    A parameter that the schema does not have, as a fleet has no `cluster`, is left out.
    """
    changed = deepcopy(dict(schema))
    for name, texts in choices.items():
        for one in changed.get("properties", {}).get(name, {}).get("anyOf", ()):
            if one.get("type") == "string" and texts:
                one["enum"] = list(texts)
    return changed
