"""ClusterProfiles as an API server lists them."""

from typing import Any

import pytest

from tasks.config.discovered import Profile
from tasks.kube.cluster_profiles import MAX_ADDRESSES, parse_profile, parse_profiles
from tests.support.cluster_profiles import profile


def test_names_labels_and_addresses_are_taken() -> None:
    """Of both forms of the status; what a profile has beside them, as extensions, is left there."""
    given = profile("edge-1", {"env": "edge"}, "https://a.example.org")
    given["status"]["credentialProviders"] = [{"name": "x", "cluster": {"server": "https://b.example.org"}}]
    given["status"]["accessProviders"][0]["cluster"]["extensions"] = [
        {"name": "e", "extension": {"t": "s3cr3t"}}
    ]
    labels = {"env": "edge", "x-k8s.io/cluster-manager": "fleet"}
    addresses = ("https://a.example.org", "https://b.example.org")
    assert parse_profile(given) == Profile("edge-1", labels, addresses)
    page = {"kind": "ClusterProfileList", "metadata": {}, "items": [given, {}]}
    assert parse_profiles(page)["profiles"] == [Profile("edge-1", labels, addresses)]


MALFORMED: dict[str, Any] = {
    "nothing": None,
    "a text": "edge-1",
    "no metadata": {},
    "no name": {"metadata": {}},
    "a name that is a list": {"metadata": {"name": ["edge-1"]}},
    "a name that changes a path": {"metadata": {"name": ".."}},
}


@pytest.mark.parametrize("item", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_profile_is_left_out(item: Any) -> None:
    """One malformed object fails no list."""
    assert parse_profile(item) is None


@pytest.mark.parametrize(
    "status", [None, [], {"accessProviders": 1}, {"accessProviders": [None, {"cluster": 1}]}]
)
@pytest.mark.parametrize("labels", [None, [], {"env": 1}])
def test_malformed_parts_are_left_out(status: Any, labels: Any) -> None:
    """The profile itself counts: its name alone decides what it lacks."""
    assert parse_profile({"metadata": {"name": "edge-1", "labels": labels}, "status": status}) == Profile(
        "edge-1"
    )


def test_of_many_or_long_addresses_few_are_kept() -> None:
    """Whoever writes profiles does not choose how much memory a run takes."""
    given = profile("edge-1", {}, "https://" + "a" * 300)
    assert parse_profile(given) == Profile("edge-1", {"x-k8s.io/cluster-manager": "fleet"})
    servers = [{"cluster": {"server": f"https://{number}.example.org"}} for number in range(99)]
    given["status"]["accessProviders"] = servers
    found = parse_profile(given)
    assert found
    assert len(found.addresses) == MAX_ADDRESSES
