"""Clusters that announce themselves: what the configuration becomes with them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.discovered import Discovered, Profile, address_difference, expand
from tasks.config.load import parse_config
from tasks.config.rules import MAX_CLUSTERS
from tasks.domain.errors import ConfigError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure
from tasks.domain.parameters import RunParameters
from tasks.fleet.groups import groups_by_wave
from tests.support.factories import law

ROOT = Path(__file__).parents[3]
EDGE, PRD = {"env": "edge"}, {"env": "prd"}
DEV = {
    "name": "dev",
    "context": "cluster-dev",
    "labels": EDGE,
    "hostnames": ["own.example.org"],
    "routes": [{"certificates": ["own-tls"], "namespaces": ["own"]}],
}


def document(**values: Any) -> dict[str, Any]:
    """Routes and hostnames for clusters of env edge, and a route alone for those of env prd."""
    return {
        "owner": "ops",
        "source": {"namespace": "certificates-ops"},
        "credentials": {"namespace": "tls-sync-credentials"},
        "discover": {"clusterProfiles": {"namespace": "fleet"}},
        "hostnames": [{"labels": EDGE, "names": ["*.example.org"]}],
        "routes": [
            {"labels": EDGE, "certificates": ["web-*"], "namespaces": ["web"]},
            {"labels": PRD, "certificates": ["web-*"], "namespaces": ["web"]},
        ],
        **values,
    }


def found(*profiles: Profile, **values: Any) -> Discovered:
    return expand(parse_config(document(**values)), profiles)


def lacks(result: Discovered) -> dict[str, tuple[FailureCode, str]]:
    return {one.cluster: (one.code, one.detail) for one in result.discovery.unserved}


def refusal(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse_config(document(**values))
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


def test_a_discovered_cluster_gets_what_is_for_its_labels() -> None:
    """Routes and hostnames of the top level, and nothing else; it is protected, and has no context."""
    result = found(Profile("edge-1", EDGE), Profile("lab-1", {"env": "lab"}))
    (edge,) = result.config.clusters
    assert (edge.name, edge.labels, edge.hostnames) == ("edge-1", EDGE, ("*.example.org",))
    assert edge.namespaces_of("web-a-tls") == ("web",)
    assert (edge.protected, edge.prune, edge.wave, edge.context, edge.cluster_id) == (
        True,
        False,
        1,
        None,
        None,
    )
    assert result.discovery.unrouted == ("lab-1",)
    assert lacks(result) == {}


def test_an_entry_counts_more_than_a_profile_of_its_name() -> None:
    """It has settings of its own, and is not announced."""
    result = found(Profile("dev", EDGE), clusters=[DEV])
    assert [(one.name, one.context) for one in result.config.clusters] == [("dev", "cluster-dev")]
    assert result.discovery.announced == ()


LACKING: dict[str, tuple[Profile, dict[str, Any], FailureCode, str]] = {
    "no hostnames": (Profile("prd-1", PRD), {}, FailureCode.NO_HOSTNAMES, ""),
    "no DNS label": (
        Profile("edge.1", EDGE),
        {},
        FailureCode.PROFILE_REFUSED,
        "its name is no DNS label: a-z, 0-9 and -, at most 63",
    ),
    "a label that names no group": (
        Profile("edge-1", {**EDGE, "region": "Eu_1"}),
        {"fleet": {"by": "region"}},
        FailureCode.PROFILE_REFUSED,
        "its label region can't name a group of a fleet",
    ),
    "a group of two waves": (
        Profile("edge-1", {**EDGE, "region": "eu"}),
        {"fleet": {"by": "region"}, "clusters": [{**DEV, "group": "eu-wave-1", "wave": 2}]},
        FailureCode.PROFILE_REFUSED,
        "its group eu-wave-1 is of wave 2, too",
    ),
    "two routes for one Secret": (
        Profile("edge-1", {**EDGE, "tier": "web"}),
        {
            "routes": [
                {"labels": EDGE, "certificates": ["web-*"], "namespaces": ["web"]},
                {"labels": {"tier": "web"}, "certificates": ["web-a-tls"], "namespaces": ["web"]},
            ]
        },
        FailureCode.PROFILE_REFUSED,
        "routes[1] writes a Secret in web that is written already by routes[0] (web-* and web-a-tls)",
    ),
}


@pytest.mark.parametrize(("profile", "values", "code", "detail"), LACKING.values(), ids=LACKING)
def test_a_profile_that_can_not_be_served_has_a_row(
    profile: Profile, values: dict[str, Any], code: FailureCode, detail: str
) -> None:
    """Nothing is sent to it; another one is served."""
    result = found(profile, Profile("edge-2", EDGE), **values)
    assert lacks(result) == {profile.name: (code, detail)}
    assert "edge-2" in result.config.names
    assert profile.name not in result.config.names


def test_too_many_profiles_have_rows() -> None:
    """The first by name are served, so that it is always the same ones."""
    result = found(*(Profile(f"edge-{n:04}", EDGE) for n in range(MAX_CLUSTERS + 2)), clusters=[DEV])
    assert len(result.config.clusters) == MAX_CLUSTERS
    refused = (FailureCode.PROFILE_REFUSED, f"there are more than {MAX_CLUSTERS:,} clusters")
    assert lacks(result) == dict.fromkeys(("edge-0999", "edge-1000", "edge-1001"), refused)


def test_waves_go_by_labels() -> None:
    """The first that fits counts; a fleet groups discovered clusters as others."""
    waves = [{"labels": {"env": "edge", "canary": "yes"}, "wave": 1}, {"labels": EDGE, "wave": 3}]
    discover = {"clusterProfiles": {"namespace": "fleet"}, "waves": waves}
    result = found(
        Profile("edge-1", {**EDGE, "canary": "yes"}),
        Profile("edge-2", EDGE),
        clusters=[DEV],
        discover=discover,
        fleet={"by": "env"},
    )
    groups = [[(one.name, one.clusters) for one in wave] for wave in groups_by_wave(result.config.clusters)]
    assert groups == [[("edge-wave-1", ("dev", "edge-1"))], [("edge-wave-3", ("edge-2",))]]


MUST_NOT = "who announces clusters must not write Secrets: use another one"
FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no credentials": (
        {"credentials": None},
        ["credentials: is required with discover: each discovered cluster has its own Secret"],
    ),
    "the namespace of the credentials": (
        {"discover": {"clusterProfiles": {"namespace": "tls-sync-credentials"}}},
        [f"discover.clusterProfiles.namespace: is credentials.namespace, too; {MUST_NOT}"],
    ),
    "the namespace of the certificates": (
        {"discover": {"clusterProfiles": {"namespace": "certificates-ops"}}},
        [f"discover.clusterProfiles.namespace: is source.namespace, too; {MUST_NOT}"],
    ),
    "no namespace": (
        {"discover": {"clusterProfiles": {}}},
        ["discover.clusterProfiles.namespace: is required; add it"],
    ),
    "a wave without labels": (
        {"discover": {"clusterProfiles": {"namespace": "fleet"}, "waves": [{"labels": {}, "wave": 0}]}},
        [
            "discover.waves[0].labels: must not be empty; give at least one, or remove the block",
            "discover.waves[0].wave: Input should be greater than or equal to 1",
        ],
    ),
    "an empty list of clusters": (
        {"clusters": []},
        ["clusters: must not be empty; give at least one, or remove the block"],
    ),
}


@pytest.mark.parametrize(("values", "said"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_key_is_refused(values: dict[str, Any], said: list[str]) -> None:
    """With its path and what to do, before anything is read."""
    assert refusal(**values) == said


def test_a_name_in_a_shared_route_may_be_announced() -> None:
    """Without `discover` it is a mistake."""
    routes = [{"clusters": ["edge-1"], "certificates": ["web-*"], "namespaces": ["web"]}]
    assert found(Profile("edge-1", EDGE), routes=routes).config.names == ("edge-1",)
    assert refusal(routes=routes, discover=None, clusters=[DEV])[0].startswith(
        "routes[0].clusters[0]: no cluster has this name"
    )


def test_a_run_for_a_cluster_says_why_it_can_not_be_served() -> None:
    """A run for another part says nothing about it."""
    result = found(Profile("prd-1", PRD), Profile("lab-1", {}), Profile("edge-1", EDGE))
    for name, said in {"prd-1": "NoHostnames", "lab-1": "it is announced, and no route is for it"}.items():
        with pytest.raises(ConfigError, match=said):
            result.for_run(RunParameters(cluster=name))
    assert result.for_run(RunParameters(cluster="edge-1")).discovery.unserved == ()
    assert result.for_run(RunParameters()) == result
    failure = Failure(code=FailureCode.FORBIDDEN, cluster="OPS", what="list the profiles")
    unknown = result._replace(discovery=Discovery(failure=failure))
    for parameters in (RunParameters(cluster="edge-9"), RunParameters(group="eu-wave-3")):
        with pytest.raises(ConfigError, match="Forbidden: list the profiles"):
            unknown.for_run(parameters)
    assert unknown.for_run(RunParameters(cluster="edge-1")).config == result.config


HERE = "https://10.0.0.1:6443"
ADDRESSES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "the same": ((HERE,), HERE, ""),
    "one of several": (("https://x.example.org", HERE), HERE, ""),
    "none": ((), HERE, ""),
    "the default port, another case, a slash": (
        ("https://API.example.org/",),
        "https://api.example.org:443",
        "",
    ),
    "another host": (("https://10.0.0.2:6443",), HERE, "https://10.0.0.2:6443"),
    "another path": ((f"{HERE}/k8s/c-1",), HERE, f"{HERE} with a path"),
    "no address": (("\x1b[31m", "http://10.0.0.1:6443"), HERE, "no https:// address"),
    "a user": (("https://u:p@10.0.0.1:6444",), HERE, "https://10.0.0.1:6444"),
}


@pytest.mark.parametrize(("announced", "server", "said"), ADDRESSES.values(), ids=ADDRESSES)
def test_another_address_is_told(announced: tuple[str, ...], server: str, said: str) -> None:
    """Nothing of it is shown but scheme, host and port."""
    (cluster,) = found(Profile("edge-1", EDGE, announced)).config.clusters
    told = address_difference(cluster, server)
    assert told == (f"its ClusterProfile has {said}, and its Secret {HERE}, which is used" if said else "")


PROFILES = st.lists(
    st.builds(
        Profile,
        st.text(max_size=70) | st.sampled_from(["edge-1", "edge-2", "dev"]),
        st.dictionaries(st.text(max_size=9) | st.just("env"), st.text(max_size=9) | st.just("edge")),
        st.tuples(st.text(max_size=30)),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


@law
@given(PROFILES)
def test_whatever_is_announced_entries_stay_and_each_is_told_once(profiles: list[Profile]) -> None:
    """Each profile is served, has a row, has no route, or has an entry: one of these."""
    result = expand(parse_config(document(clusters=[DEV])), profiles)
    served = [*result.config.names]
    assert served[0] == "dev"
    assert result.config.clusters[0] == parse_config(document(clusters=[DEV])).clusters[0]
    told = [one.cluster for one in result.discovery.unserved]
    names = {"dev", *(one.name for one in profiles)}
    assert len(served) + len(told) + len(result.discovery.unrouted) == len(names)
    assert all(one.isprintable() for one in told)


@pytest.mark.parametrize("path", ["docs/reference.md", "docs/fr/reference.md"])
def test_the_example_of_the_guide_serves_a_cluster(path: str) -> None:
    """As it says: in wave 3, with the routes and hostnames for its label."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / path).read_text(), re.MULTILINE | re.DOTALL)
    (example,) = (yaml.safe_load(one) for one in blocks if "discover:" in one)
    config = parse_config({"owner": "ops", "source": {"namespace": "certificates-ops"}, **example})
    (cluster,) = expand(config, [Profile("edge-7", PRD)]).config.clusters
    assert (cluster.wave, cluster.hostnames) == (3, ("*.prd.example.org",))
    assert cluster.namespaces_of("homarr-prd-tls") == ("homarr",)


def test_without_any_cluster_yet_nothing_is_refused() -> None:
    """Whoever begins with announced clusters gets a report that says what is announced, and no error."""
    config = parse_config(document())
    assert config.named(None) == config.select(RunParameters()) == ()
