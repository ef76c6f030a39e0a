"""The Kubernetes client: what we use of it. The only module that imports it.

To import any part of it is to import all of it, OAuth for its own reader of kubeconfigs included: 6 MiB and
70 ms in each process. What nobody here calls is left out; who imports it by its name later gets it whole.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

UNUSED = tuple(
    f"kubernetes.{part}" for part in ("config", "dynamic", "informer", "leaderelection", "stream", "watch")
)


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Meanwhile these modules are empty, unless they are there already."""
    empty = {name: ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in empty:
            del sys.modules[name]


with _without(UNUSED):
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.exceptions import ApiException

__all__ = ["ApiClient", "ApiException", "Configuration"]
