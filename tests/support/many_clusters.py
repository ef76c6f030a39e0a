"""A configuration for 1,000 clusters and 10,000 certificates, as a team writes it: by labels and globs."""

from typing import Any

from tasks.config.discovered import Profile

REGIONS = tuple(f"region-{number}" for number in range(10))
ENVIRONMENTS = {"dev": 1, "rct": 2, "prd": 3}
"""Label -> wave."""
TEAMS = tuple(f"team-{number:02}" for number in range(20))
PLACES = [(team, env) for team in TEAMS for env in ENVIRONMENTS]
"""The routes, each for some clusters and to a namespace of its own."""
NAMESPACE, CREDENTIALS = "fleet", "tls-sync-credentials"


def cluster_names(count: int) -> list[str]:
    return [f"edge-{number:04}" for number in range(count)]


def labels_of(number: int) -> dict[str, str]:
    """Return the labels of a cluster: one environment, one region, one of the teams."""
    team, env = PLACES[number % len(PLACES)]
    return {"env": env, "region": REGIONS[number // len(PLACES) % len(REGIONS)], "team": team}


def profiles(count: int) -> list[Profile]:
    return [Profile(name, labels_of(number)) for number, name in enumerate(cluster_names(count))]


def lines(source: str = "", each: str = "*") -> list[str]:
    """Return the lines of the file. It has no cluster: they announce themselves.

    `source` is a further key of it, and `each` ends the glob of each route.
    """
    return [
        "owner: ops",
        "source:",
        "  namespace: certificates-ops",
        *([f"  {source}"] if source else []),
        f"credentials: {{namespace: {CREDENTIALS}}}",
        "discover:",
        f"  clusterProfiles: {{namespace: {NAMESPACE}}}",
        "  waves:",
        *(f"    - {{labels: {{env: {env}}}, wave: {wave}}}" for env, wave in ENVIRONMENTS.items()),
        "fleet: {by: region}",
        "hostnames:",
        *(f'  - {{labels: {{team: {team}}}, names: ["*.example.org"]}}' for team in TEAMS),
        "routes:",
        *(_route(team, env, each) for team, env in PLACES),
    ]


def _route(team: str, env: str, each: str) -> str:
    selected, glob = f"{{team: {team}, env: {env}}}", f"{team}-{env}-{each}"
    return f'  - {{labels: {selected}, certificates: ["{glob}"], namespaces: [{team}-{env}]}}'


def certificate_names(count: int) -> list[str]:
    """Return the names of Secrets on OPS, dealt out to teams and environments."""
    return ["{}-{}-{:04}".format(*PLACES[n % len(PLACES)], n // len(PLACES)) for n in range(count)]


def explicit(count: int) -> dict[str, Any]:
    """Return the document of a file with an entry for each cluster."""
    entries = [
        {"name": name, "context": name, "labels": labels_of(number)}
        for number, name in enumerate(cluster_names(count))
    ]
    return {"clusters": entries}
