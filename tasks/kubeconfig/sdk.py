"""The parts of the kubernetes client that we use. No other module imports it.

Importing one part imports others that nothing here calls, such as OAuth for its own reader of kubeconfigs:
6.6 MiB in each process (kubernetes 37.0.1). These are left out; a later import by name gets the real module.
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
