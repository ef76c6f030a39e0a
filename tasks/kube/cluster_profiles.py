"""Parses ClusterProfiles of SIG Multicluster, as far as they are used: names, labels and addresses. Pure.

Source of the kind: github.com/kubernetes-sigs/cluster-inventory-api, apis/v1alpha1/clusterprofile_types.go.
Its status has addresses under `accessProviders`, or, in older releases, under `credentialProviders`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from tasks.config.discovered import Profile
from tasks.domain.names import is_name
from tasks.kube.responses import metadata_of

PROFILES_API = "multicluster.x-k8s.io/v1alpha1"
"""Served and stored by all releases so far."""
MAX_ADDRESSES, MAX_ADDRESS_LENGTH = 8, 300
"""Maximum number of addresses that are compared, and of characters in each; others are left out."""
PROVIDERS = ("accessProviders", "credentialProviders")


def parse_profiles(page: dict[str, Any]) -> dict[str, Any]:
    """Return a page of a list with `profiles` in place of its items. Malformed ones are left out."""
    found = [profile for item in page.get("items") or [] if (profile := parse_profile(item))]
    return {"kind": page.get("kind"), "metadata": page["metadata"], "profiles": found}


def parse_profile(item: Any) -> Profile | None:
    """Return a profile, or None for what is none. Parts that are malformed are left out."""
    metadata = metadata_of(item)
    name, labels = metadata.get("name"), metadata.get("labels")
    if not (isinstance(name, str) and is_name(name)):
        return None
    given = labels if isinstance(labels, dict) else {}
    texts = {key: text for key, text in given.items() if isinstance(text, str)}
    addresses = islice(dict.fromkeys(_addresses(item)), MAX_ADDRESSES)
    return Profile(name, texts, tuple(addresses))


def _addresses(item: dict[str, Any]) -> Iterator[str]:
    status = item.get("status")
    given = status if isinstance(status, dict) else {}
    for key in PROVIDERS:
        providers = given.get(key)
        for one in providers if isinstance(providers, list) else ():
            cluster = one.get("cluster") if isinstance(one, dict) else None
            server = cluster.get("server") if isinstance(cluster, dict) else None
            if isinstance(server, str) and 0 < len(server) <= MAX_ADDRESS_LENGTH:
                yield server
