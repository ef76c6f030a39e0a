"""The configuration that `tls-sync init` proposes."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import load_config, parse_config
from tasks.setup.errors import SetupError
from tasks.setup.found import FoundCertificate, FoundCluster
from tasks.setup.proposal import propose
from tasks.setup.survey import choose_ops
from tests.support.factories import law

SOURCE = "certificates-ops"


def uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def found(context: str, number: int, *namespaces: str) -> FoundCluster:
    return FoundCluster(context, uid(number), frozenset({"kube-system", "default", *namespaces}))


OPS = found("cluster-ops", 0, SOURCE)
DEV = found("cluster-dev", 1, "homarr-dev", "homarr", "web")
RCT = found("cluster-rct", 2, "homarr-rct", "web")
CERTIFICATES = [
    FoundCertificate("homarr-dev-tls", ("homarr.dev.example.org",)),
    FoundCertificate("web-tls", ("web.example.org", "*.web.example.org")),
    FoundCertificate("lonely-tls", ("lonely.example.org",)),
]


def test_a_proposal_is_a_configuration_that_runs_accept(tmp_path: Path) -> None:
    """Names, contexts and clusterIds are those that were found; hostnames are those of the routes."""
    proposal = propose(OPS, SOURCE, [DEV, OPS, RCT], CERTIFICATES)
    (tmp_path / "tls-sync.yaml").write_text(proposal.text)
    config = load_config(str(tmp_path / "tls-sync.yaml"))
    assert (config.source.context, config.source.cluster_id, config.source.namespace) == (
        "cluster-ops",
        uid(0),
        SOURCE,
    )
    placed = {
        one.name: [(route.certificates, route.namespaces) for route in one.routes] for one in config.clusters
    }
    assert placed == {
        "dev": [(("homarr-dev-tls",), ("homarr-dev",)), (("web-tls",), ("web",))],
        "rct": [(("web-tls",), ("web",))],
    }
    assert [one.cluster_id for one in config.clusters] == [uid(1), uid(2)]
    assert config.clusters[1].hostnames == ("*.web.example.org", "web.example.org")
    assert (proposal.clusters, proposal.placed) == (("dev", "rct"), 2)
    assert "#   lonely-tls\n" in proposal.text
    assert proposal.left_out == ("No route yet, since no namespace begins like them: lonely-tls",)
    silent = propose(OPS, SOURCE, [DEV, OPS, FoundCluster("lab", problem="no connection")], CERTIFICATES[:1])
    assert silent.left_out == ("Context lab is left out: no connection",)


def test_what_can_not_be_a_target_is_a_comment() -> None:
    """A context of the same cluster, of OPS, or of one that does not answer, is named with the reason."""
    again = FoundCluster("admin@dev", DEV.cluster_id, DEV.namespaces)
    ops_again = FoundCluster("ops-2", OPS.cluster_id, OPS.namespaces)
    dead = FoundCluster("cluster-prd", problem="no connection")
    proposal = propose(OPS, SOURCE, [DEV, again, dead, ops_again, OPS], CERTIFICATES)
    assert [one.context for one in parse_config(yaml.safe_load(proposal.text)).clusters] == ["cluster-dev"]
    unseen = FoundCluster("a\tb", uid(9), DEV.namespaces)
    assert "# Context a?b is left out: its name" in propose(OPS, SOURCE, [unseen], CERTIFICATES).text
    for line in (
        "# Context admin@dev is left out: as cluster-dev, the same cluster",
        "# Context cluster-prd is left out: no connection",
        "# Context ops-2 is left out: as cluster-ops, the same cluster",
    ):
        assert line in proposal.text.splitlines()


def test_a_cluster_without_a_likely_route_is_an_example_in_comments() -> None:
    """Nobody gets a certificate because a file was proposed."""
    proposal = propose(OPS, SOURCE, [OPS, RCT], CERTIFICATES[:1])
    assert (proposal.clusters, proposal.placed) == ((), 0)
    assert yaml.safe_load(proposal.text)["clusters"] is None
    assert "  #   context: cluster-rct" in proposal.text.splitlines()


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
CONTEXTS = ["arn:aws:eks:eu-1:1:cluster/a", "gke_p_z_a", "a", "A", "on", "0"]
NAMES = st.from_regex(r"[a-z]([-a-z]{0,6}[a-z])?", fullmatch=True)


@given(
    contexts=st.lists(
        TEXTS | st.sampled_from(["arn:aws:eks:eu-1:1:cluster/a", "gke_p_z_a", "a", "A"]), unique=True
    ),
    namespaces=st.sets(NAMES, max_size=4),
    secrets=st.sets(NAMES, max_size=4),
    hosts=st.lists(TEXTS | st.just("web.example.org"), max_size=3),
)
@law
def test_any_names_give_a_file_that_can_be_loaded(
    contexts: list[str], namespaces: set[str], secrets: set[str], hosts: list[str]
) -> None:
    """Whatever contexts and certificates are called, the file has only what was found, and no fault."""
    clusters = [found(context, number + 1, *namespaces) for number, context in enumerate(contexts)]
    certificates = [FoundCertificate(one, tuple(hosts)) for one in sorted(secrets)]
    proposal = propose(OPS, SOURCE, clusters, certificates)
    document = yaml.safe_load(proposal.text)
    if proposal.clusters:
        config = parse_config(document)
        assert config.names == proposal.clusters
        assert {one.context for one in config.clusters} <= {*contexts}


def test_ops_is_the_cluster_with_the_namespace() -> None:
    """A guess that is not certain is refused, with the option that decides."""
    assert choose_ops([DEV, OPS], None, SOURCE) == OPS
    assert choose_ops([DEV, OPS], "cluster-dev", SOURCE) == DEV
    for clusters, chosen, said in (
        ([DEV, RCT], None, "no context of your kubeconfig has a namespace"),
        ([OPS, found("other", 3, SOURCE)], None, "cluster-ops, other have a namespace"),
        ([], None, "your kubeconfig has no context: set KUBECONFIG"),
        ([DEV, FoundCluster("lab", problem="no connection")], None, r"\(lab: no connection\)"),
        ([DEV], "prd", "no context prd in your kubeconfig, which has: cluster-dev"),
        (
            [FoundCluster("cluster-ops", problem="no connection")],
            "cluster-ops",
            "OPS can't be asked: no",
        ),
    ):
        with pytest.raises(SetupError, match=said):
            choose_ops(clusters, chosen, SOURCE)
