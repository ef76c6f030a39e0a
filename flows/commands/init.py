"""`tls-sync init`: writes a first configuration, from what the operator's kubectl finds."""

import sys
from pathlib import Path

from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.domain.text import count_of, join_limited
from tasks.runtime.progress import saying
from tasks.setup.argocd import argo_clusters
from tasks.setup.argocd_proposal import next_commands, propose_from_argocd
from tasks.setup.errors import SetupError
from tasks.setup.kubectl import Kubectl
from tasks.setup.proposal import propose
from tasks.setup.survey import choose_ops, find_certificates, find_clusters, namespaces_with_certificates


def run(
    file: str, ops_context: str | None, namespace: str, argocd: dict[str, str | None] | None = None
) -> int:
    """Return exit status 0 if the file was written. An existing one is never changed."""
    try:
        if argocd:
            sys.stdout.write(_from_argocd(Path(file), ops_context, namespace, argocd))
        else:
            sys.stdout.write(_init(Path(file), ops_context, namespace))
    except (ConfigError, SetupError) as error:
        sys.stderr.write(f"tls-sync: {error}\n")
        return 1
    except FileExistsError:
        sys.stderr.write(f"tls-sync: {file} exists already: remove it, or set --file to another name\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"tls-sync: {file} can't be written: {error.strerror}\n")
        return 1
    return 0


def _init(file: Path, ops_context: str | None, namespace: str) -> str:
    """Write the file, and return what to do next."""
    if file.exists():  # before the clusters are asked, which takes a while
        raise FileExistsError
    with saying("asking the clusters of your kubeconfig"):
        clusters = find_clusters()
        ops = choose_ops(clusters, ops_context, namespace)
        certificates = find_certificates(ops.context, namespace)
        elsewhere = [] if certificates else namespaces_with_certificates(ops.context)
    if not certificates:
        raise SetupError(_no_certificate(ops.context, namespace, elsewhere))
    proposal = propose(ops, namespace, clusters, certificates)
    with file.open("x", encoding="utf-8") as opened:
        opened.write(proposal.text)
    if proposal.clusters:
        load_config(str(file))
    count = f"{proposal.placed} of {count_of(len(certificates), 'certificate')}"
    return (
        f"written: {file}. OPS is {ops.context}; {count} on {count_of(len(proposal.clusters), 'cluster')}\n"
        + "".join(f"{note}\n" for note in proposal.left_out)
        + "Nothing was written to a cluster. Routes and hostnames are guesses: check them. Then:\n"
        f"  tls-sync rights manifests --ops | kubectl --context {ops.context} apply --server-side -f -\n"
        "  tls-sync rights manifests --cluster NAME | kubectl --context CONTEXT apply --server-side -f -\n"
        "  tls-sync rights kubeconfig --file tls-sync.kubeconfig\n"
        "  KUBECONFIG=tls-sync.kubeconfig tls-sync preflight\n"
        "  KUBECONFIG=tls-sync.kubeconfig tls-sync plan\n"
        "  KUBECONFIG=tls-sync.kubeconfig tls-sync sync\n"
    )


def _from_argocd(file: Path, ops_context: str | None, namespace: str, argocd: dict[str, str | None]) -> str:
    """Write the file for the clusters that Argo CD knows, and return what to do next."""
    if file.exists():
        raise FileExistsError
    with saying("asking the clusters of your kubeconfig"):
        known = find_clusters()
        ops = choose_ops(known, ops_context, namespace)
        found = argo_clusters(Kubectl(argocd["context"] or ops.context), str(argocd["namespace"]))
    proposal = propose_from_argocd(ops, namespace, known, found)
    if not proposal.clusters:
        raise SetupError(
            "Argo CD knows no cluster but its own: tls-sync init without --from-argocd asks yours"
        )
    with file.open("x", encoding="utf-8") as opened:
        opened.write(proposal.text)
    load_config(str(file))
    return (
        f"written: {file}. OPS is {ops.context}; {count_of(len(proposal.clusters), 'cluster')} from Argo CD\n"
        + "".join(f"{note}\n" for note in proposal.left_out)
        + "Nothing was written to a cluster. Write routes and hostnames: the file's match nothing. Then:\n"
        f"  tls-sync rights manifests --ops | kubectl --context {ops.context} apply --server-side -f -\n"
        f"{next_commands(proposal.clusters)}"
    )


def _no_certificate(context: str, namespace: str, elsewhere: list[str]) -> str:
    found = f"namespace {namespace} on OPS ({context}) has no Certificate of cert-manager"
    if not elsewhere:
        return f"{found}, nor has another one there: create one, or say which cluster is OPS by --ops-context"
    return f"{found}; there are some in {join_limited(elsewhere)}: say which one by --namespace"
