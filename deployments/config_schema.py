"""The JSON Schema of tls-sync.yaml, for editors: `make schema` writes deployments/tls-sync.schema.json.

Types, keys and bounds are those of tasks/config/schema.py, patterns those of tasks/domain/names.py. What the
schema refuses, tls-sync refuses, too; rules between values are not in it, and only tls-sync checks them.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tasks.config import values
from tasks.config.schema import SyncConfig
from tasks.domain import names
from tasks.domain.further_keys import FURTHER_KEYS

PATH = Path(__file__).with_name("tls-sync.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"

SELECTED_NAMES = "Names or globs of clusters that it is for."
SELECTED_LABELS = "Labels that the clusters must have, all of them."
ROUTE = {
    "certificates": "Names of Secrets on OPS. One without * must be there; a glob matches what is.",
    "namespaces": "Where they are copied to; the namespaces must exist. {1} is what the * took.",
    "namespaceSelector": "Labels of the namespaces, in place of their names; each has a binding, too.",
    "allowedNamespaces": "Where namespaces have {1} or {name}: all that may come out.",
    "name": "Another name on the target. {name} is the certificate's name, {1} what the * took.",
    "served": "Where applications serve them, host or host:port; for inventory and waves.verify.",
    "metadata": "Labels and annotations that its copies get, with keys of allowedMetadata.",
    "keys": "Keys of the Secret that are copied, too: combined formats, or keystores.",
    "unverified": "Whether keystores are copied, although nobody can verify what they hold.",
}
DESCRIPTIONS = {
    "SyncConfig": {
        "owner": "A label of every copy: copies of another owner are never changed. One owner per OPS.",
        "source": "OPS, where cert-manager writes its Secrets.",
        "credentials": "Where clusters without context have their kubeconfig, each in its own Secret.",
        "discover": "Clusters that announce themselves on OPS; each needs a credential and a pin.",
        "waves": "When clusters of a later wave wait.",
        "taskRunner": "What runs the tasks of the clusters: threads, or workers of Dask.",
        "fleet": "How the clusters of a fleet are grouped.",
        "allowedMetadata": "The keys of labels and annotations that routes may give to copies.",
        "hostnames": "DNS names of certificates, for several clusters. What a cluster may get is the union.",
        "routes": "Which certificates are copied where, for several clusters.",
        "selfService": "What Certificates may ask for (annotation tls-sync.io/to). Without it: nothing.",
        "clusters": "The targets. What no route names is not copied.",
    },
    "Source": {
        "namespace": "Where cert-manager writes its Secrets.",
        "context": "A context of the kubeconfig. null: the cluster in which the run is.",
        "clusterId": "The uid of OPS's namespace kube-system. Required where a cluster has prune: true.",
        "formerClusterIds": "Uids of OPS clusters that this one replaces: their copies are ours.",
        "selector": "Further labels that a Secret must have.",
        "allowSelfSigned": "Whether certificates that are signed with their own key are copied, too.",
        "allowExec": "Whether the kubeconfig may name a program that provides the credential (EKS, GKE).",
        "events": "Whether Kubernetes Events on cert-manager's Certificates say what was copied and refused.",
    },
    "Fleet": {
        "by": "A label of clusters: those of a wave with the same value are the group VALUE-wave-N.",
    },
    "AllowedMetadata": {
        "labels": "Keys of labels; none that a tool which manages objects acts on.",
        "annotations": "Keys of annotations, likewise.",
    },
    "Metadata": {
        "labels": "Labels of the copies, as in team: web.",
        "annotations": 'Annotations of the copies, as in reloader.stakater.com/match: "true".',
    },
    "Credentials": {
        "namespace": "On OPS, and for nothing else: Secrets tls-sync-kubeconfig-<cluster>, key config.",
    },
    "Discover": {
        "clusterProfiles": "Objects of SIG Multicluster on OPS, from which names and labels are taken.",
        "waves": "The wave of clusters by their labels. The first that fits counts; else it is 1.",
    },
    "ClusterProfiles": {
        "namespace": "Where they are, on OPS; neither that of the certificates nor that of the credentials.",
        "selector": "Labels that a ClusterProfile must have.",
    },
    "DiscoveredWave": {
        "labels": "Labels that the discovered cluster must have, all of them.",
        "wave": "It follows the lower ones, and waits where too much failed there.",
    },
    "Waves": {
        "maxFailedShare": "Share of a wave's copies. Where more have failed, the later waves wait.",
        "verify": "served: later waves wait until addresses under served present the new certificates.",
    },
    "TaskRunner": {
        "type": "threads: of the run's process. dask: workers on other machines (docs/scaling.md).",
        "address": "Of Dask's scheduler, tcp://scheduler:8786 or tls://. None for threads.",
    },
    "Cluster": {
        "name": "What people type: prefect deployment run tls-sync/ops -p cluster=dev.",
        "context": "A context of the kubeconfig; each cluster has its own. Without it: see credentials.",
        "protected": "Whether a credential with too many rights is refused, and clusterId required.",
        "clusterId": "The uid of its namespace kube-system: no other cluster is written to.",
        "suspended": "Whether the cluster is left out, which every report shows.",
        "allowExec": "Whether the kubeconfig may name a program that provides the credential (EKS, GKE).",
        "wave": "It follows the lower ones, and waits where too much failed there.",
        "prune": "Whether copies whose certificate is gone from OPS are deleted, after three runs and a day.",
        "group": "The clusters that one run of a fleet serves, all of one wave.",
        "labels": "By which routes and hostnames at the top level are for it, e.g. env: prd.",
        "hostnames": "DNS names of certificates that may be copied to this cluster; * stands for one label.",
        "routes": "Which certificates are copied to which namespaces.",
    },
    "SharedHostnames": {
        "clusters": SELECTED_NAMES,
        "labels": SELECTED_LABELS,
        "names": "DNS names of certificates that may be copied to these clusters; * stands for one label.",
    },
    "SharedRoute": {
        "clusters": SELECTED_NAMES,
        "labels": SELECTED_LABELS,
        **ROUTE,
    },
    "Route": ROUTE,
    "Limit": {
        "clusters": SELECTED_NAMES,
        "labels": SELECTED_LABELS,
        "certificates": "Names of Secrets on OPS, or globs: whoever may create their Certificates may ask.",
        "namespaces": "Where their Certificates may ask that they be copied to; they must exist.",
        "hostnames": "DNS names that they may have; the cluster's own hostnames must allow these, too.",
    },
}
"""What an editor shows of each key."""


def _pattern(expression: re.Pattern[str]) -> str:
    """Return Python's expression as JSON Schema has it, in ECMAScript, for the whole text."""
    text = re.sub(r"\?P<\w+>", "?:", expression.pattern)
    return f"^(?:{text.replace(chr(92) + 'Z', '$')})$"


_LABEL, _NAME = _pattern(names.LABEL), _pattern(names.SUBDOMAIN)
_TEMPLATE = r"^(?=.*\{)(?:[-a-z0-9.]|\{name\}|\{1\})+$"
_PROTECTED = f"^(kube-.*|{'|'.join(sorted(names.PROTECTED))})$"
_RULES: dict[Any, JsonSchemaValue] = {
    values.namespace: {"pattern": _LABEL},
    values.target_namespace: {"pattern": _LABEL, "not": {"pattern": _PROTECTED}},
    values.label: {"pattern": _LABEL},
    values.label_key: {"pattern": _pattern(names.LABEL_KEY)},
    values.cluster_pattern: {"pattern": _pattern(names.CLUSTER_GLOB)},
    values.name_template: {"anyOf": [{"pattern": _NAME}, {"pattern": _TEMPLATE}]},
    values.namespace_template: {
        "anyOf": [{"pattern": _LABEL}, {"pattern": _TEMPLATE}],
        "not": {"pattern": _PROTECTED},
    },
    values.pattern: {"pattern": _pattern(names.GLOB)},
    values.hostname: {"pattern": r"^(?:(?:\*|[a-z0-9-]+)\.)*[a-z0-9-]+\.[a-z0-9-]+$"},
    values.address: {"pattern": _pattern(names.ADDRESS)},
    values.further_key: {"enum": sorted(FURTHER_KEYS)},
    values.metadata_key: {"pattern": _pattern(names.LABEL_KEY)},
    values.annotations: {"propertyNames": {"pattern": _pattern(names.LABEL_KEY)}},
    values.selector: {
        "propertyNames": {"pattern": _pattern(names.LABEL_KEY)},
        "additionalProperties": {"type": "string", "pattern": _pattern(names.LABEL_VALUE)},
    },
}
"""What JSON Schema can say of the functions that check single values. It is never stricter than they are."""


class _Generator(GenerateJsonSchema):
    schema_dialect = DIALECT

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        found = super().function_after_schema(schema)
        return found | _RULES.get(schema["function"]["function"], {})


def schema() -> JsonSchemaValue:
    """Return the schema, in which each key has its description."""
    found = SyncConfig.model_json_schema(schema_generator=_Generator)
    for model, part in {**found["$defs"], "SyncConfig": found}.items():
        part.pop("description", None)  # the docstring, which names modules
        for key, property_ in part["properties"].items():
            property_.pop("title", None)
            property_["description"] = DESCRIPTIONS[model][key]
    for model in ("Route", "SharedRoute"):
        found["$defs"][model]["anyOf"] = [{"required": [key]} for key in ("namespaces", "namespaceSelector")]
    return {"$schema": DIALECT, **found, "title": "The configuration of tls-sync"}


def render() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def main() -> int:
    PATH.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
