"""The Kubernetes client: what we use of it. The only module that imports it.

To import any part of it is to import all of it, OAuth for its own reader of kubeconfigs included: 6 MiB and
70 ms in each process. What nobody here calls is left out; who imports it by its name later gets it whole.
"""

from tasks.runtime.imports import without

UNUSED = tuple(
    f"kubernetes.{part}" for part in ("config", "dynamic", "informer", "leaderelection", "stream", "watch")
)

with without(*UNUSED):
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.exceptions import ApiException

__all__ = ["ApiClient", "ApiException", "Configuration"]
