"""Reads the kubeconfigs that Cluster API keeps for administrators, to make tokens with few rights from them.

They are cluster-admin. So a person's command uses them once, from files that only they can read; no run does.
Source of names and key: Cluster API's book, "Kubeconfig": Secret `<cluster>-kubeconfig`, key `value`.
"""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.domain.names import is_name, is_namespace
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl


@contextmanager
def capi_kubeconfigs(kubectl: Kubectl, clusters: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the path of a file for each cluster, given as `namespace/name` of its Cluster API object.

    The files are gone after the block. Raises SetupError.
    """
    with TemporaryDirectory(prefix="tls-sync-capi-") as directory:  # mode 0700
        yield {
            cluster: _written(_read(kubectl, cluster, place), Path(directory) / cluster)
            for cluster, place in clusters.items()
        }


def _read(kubectl: Kubectl, cluster: str, place: str) -> bytes:
    namespace, _, name = place.partition("/")
    if not (is_namespace(namespace) and is_name(name)):
        raise SetupError(f"--from-capi {cluster}={place}: NAMESPACE/NAME of the Cluster is expected")
    secret = f"{name}-kubeconfig"
    found = kubectl.run(
        "get", "secret", secret, f"--namespace={namespace}", "--output=jsonpath={.data.value}"
    )
    try:
        content = base64.b64decode(found, validate=True)
    except ValueError:
        content = b""
    if not content:
        raise SetupError(f"Secret {namespace}/{secret} has no key value; is it one of Cluster API?")
    return content


def _written(content: bytes, path: Path) -> str:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return str(path)
