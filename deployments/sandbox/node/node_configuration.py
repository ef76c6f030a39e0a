"""Accounts, flags and configuration files of the node's programs. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.sandbox.clusters.api_server import ApiServer
from deployments.sandbox.clusters.manifests import Manifests
from deployments.sandbox.node.container_runtime import SOCKET
from deployments.sandbox.node.network import Network

NODE_NAME = "node1"
_DOMAIN = "cluster.local"
_DNS_USER = "sandbox-coredns"

API_SERVER_FLAGS = (
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--kubelet-preferred-address-types=InternalIP",
    "--allow-privileged=true",  # for pods that request it; ours do not
)


@dataclass(frozen=True)
class Client:
    """A program's user and group at the API server."""

    user: str
    group: str = ""


CLIENTS = {
    "kube-controller-manager": Client("system:kube-controller-manager"),
    "kube-scheduler": Client("system:kube-scheduler"),
    "kubelet": Client(f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-proxy": Client("system:kube-proxy"),
    "coredns": Client(_DNS_USER),
}


def rights() -> Manifests:
    """Return the rights that the API server does not grant by default: CoreDNS reads Services."""
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    meta = {"apiVersion": f"{group}/v1", "metadata": {"name": _DNS_USER}}
    binding = {
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _DNS_USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": _DNS_USER}],
    }
    return [
        {"kind": "ClusterRole", **meta, "rules": rules},
        {"kind": "ClusterRoleBinding", **meta, **binding},
    ]


def commands(directory: Path, server: ApiServer, network: Network) -> dict[str, list[str]]:
    """Return flags by program, with default ports: the network namespace is the node's own."""
    return {
        "kube-controller-manager": [
            f"--kubeconfig={directory}/kube-controller-manager.kubeconfig",
            f"--root-ca-file={server.directory}/ca.crt",
            f"--service-account-private-key-file={server.directory}/service-account.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        ],
        "kube-scheduler": [f"--kubeconfig={directory}/kube-scheduler.kubeconfig", "--leader-elect=false"],
        "kubelet": [
            f"--config={directory}/kubelet.yaml",
            f"--kubeconfig={directory}/kubelet.kubeconfig",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={network.node}",
        ],
        "kube-proxy": [f"--config={directory}/kube-proxy.yaml", f"--hostname-override={NODE_NAME}"],
        "coredns": [f"-conf={directory}/Corefile"],
    }


def files(directory: Path, cgroup: str, network: Network) -> dict[str, Any]:
    return {
        "kubelet.yaml": _kubelet(cgroup, network),
        "kube-proxy.yaml": _kube_proxy(directory, network),
        "Corefile": f""".:53 {{
    bind {network.node}
    errors
    kubernetes {_DOMAIN} {{
        kubeconfig {directory}/coredns.kubeconfig
    }}
}}
""",
    }


def _kubelet(cgroup: str, network: Network) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "containerRuntimeEndpoint": SOCKET,
        # Only this machine can reach it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,  # images were loaded, and can't be pulled again
        "clusterDNS": [str(network.node)],
        "clusterDomain": _DOMAIN,
        "resolvConf": "",
        "syncFrequency": "10s",
    }


def _kube_proxy(directory: Path, network: Network) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": str(network.pods),
        "clientConnection": {"kubeconfig": f"{directory}/kube-proxy.kubeconfig"},
        "conntrack": {"maxPerCore": 0, "min": 0},  # the limit is the whole machine's
    }
