"""The configuration that `tls-sync init --from-argocd` proposes."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import parse_config
from tasks.config.rules import MAX_CLUSTERS
from tasks.setup.argocd_proposal import labels_of, propose_from_argocd
from tasks.setup.found import ArgoCluster, FoundCluster
from tests.support.factories import law
from tests.unit.setup.test_proposal import SOURCE, uid

OPS = FoundCluster("cluster-ops", uid(0), frozenset({SOURCE}), "https://10.0.0.1:6443")
EDGE = FoundCluster("admin@edge", uid(7), frozenset(), "https://10.0.0.7:6443/")


def test_names_labels_and_known_ids_are_taken() -> None:
    """OPS and Argo CD's own cluster are left out; what is renamed is told."""
    argo = [
        ArgoCluster("Edge EU", "https://10.0.0.7:6443", {"env": "edge", "argocd.argoproj.io/x": "y"}),
        ArgoCluster("edge-eu", "https://192.0.2.1", {}),
        ArgoCluster("in-cluster", "https://kubernetes.default.svc", {}),
        ArgoCluster("hub", "https://10.0.0.1:6443", {}),
    ]
    proposal = propose_from_argocd(OPS, SOURCE, [OPS, EDGE], argo)
    config = parse_config(yaml.safe_load(proposal.text))
    assert [(one.name, one.cluster_id, one.labels, one.context) for one in config.clusters] == [
        ("edge-eu", uid(7), {"env": "edge"}, None),
        ("edge-eu-2", None, {}, None),
    ]
    assert proposal.clusters == ("edge-eu", "edge-eu-2")
    assert proposal.left_out == (
        "Edge EU is called edge-eu: a cluster's name is a DNS label",
        "edge-eu is called edge-eu-2: a cluster's name is a DNS label",
        "in-cluster is left out: it is Argo CD's own cluster, or OPS",
        "hub is left out: it is Argo CD's own cluster, or OPS",
    )


def test_too_many_are_told() -> None:
    """The file has as many as a configuration may have."""
    argo = [ArgoCluster(f"edge-{n}", f"https://192.0.2.1:{n + 1}", {}) for n in range(MAX_CLUSTERS + 3)]
    proposal = propose_from_argocd(OPS, SOURCE, [], argo)
    assert len(proposal.clusters) == MAX_CLUSTERS
    assert proposal.left_out == ("3 clusters are left out: at most 1,000 are possible",)


def test_labels_of_tools_are_left_out() -> None:
    """They say how the Secret is managed; a label that is none is left out, too."""
    given = {"env": "prd", "app.kubernetes.io/part-of": "x", "helm.sh/chart": "y", "a b": "c", "tier": "a b"}
    assert labels_of(given) == {"env": "prd"}


TEXTS = st.text(max_size=40)


@law
@given(
    st.lists(
        st.builds(ArgoCluster, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_argo_cd_has_the_file_loads(argo: list[ArgoCluster]) -> None:
    """Names and addresses are anybody's text: none of them becomes YAML."""
    proposal = propose_from_argocd(OPS, SOURCE, [OPS, EDGE], argo)
    if proposal.clusters:
        assert parse_config(yaml.safe_load(proposal.text)).names == proposal.clusters
