"""Reads names, addresses and labels of Argo CD's cluster Secrets with the operator's own kubectl.

Their credentials stay in kubectl, which prints these fields only. No run reads these Secrets: to list them is
to read every credential. Source of label and keys: Argo CD's manual, "Declarative Setup", "Clusters".
"""

import base64
import json

from tasks.domain.text import printable
from tasks.setup.errors import SetupError
from tasks.setup.found import ArgoCluster
from tasks.setup.kubectl import Kubectl

LABEL = "argocd.argoproj.io/secret-type=cluster"
FIELDS = '{range .items[*]}{.data.name}{"\\t"}{.data.server}{"\\t"}{.metadata.labels}{"\\n"}{end}'


def argo_clusters(kubectl: Kubectl, namespace: str) -> list[ArgoCluster]:
    """Return the clusters that Argo CD knows, sorted by name. Raises SetupError."""
    options = (f"--namespace={namespace}", f"--selector={LABEL}", f"--output=jsonpath={FIELDS}")
    lines = kubectl.run("get", "secrets", *options).splitlines()
    found = [_cluster(line) for line in lines if line.strip()]
    if not found:
        raise SetupError(
            f"namespace {namespace} ({kubectl.context}) has no cluster Secret of Argo CD: say where they are "
            "by --argocd-context and --argocd-namespace"
        )
    return sorted(found, key=lambda one: one.name)


def _cluster(line: str) -> ArgoCluster:
    name, _, rest = line.partition("\t")
    server, _, labels = rest.partition("\t")
    try:
        given = json.loads(labels or "{}")
        address = _decoded(server)
        return ArgoCluster(_decoded(name) or address, address, {str(key): str(given[key]) for key in given})
    except (TypeError, ValueError):
        raise SetupError(
            "what kubectl prints of Argo CD's Secrets can't be read; look at them by hand"
        ) from None


def _decoded(text: str) -> str:
    return printable(base64.b64decode(text, validate=True).decode("utf-8", "replace"))
