"""Rules for names of Kubernetes objects, DNS names and globs. A pattern always matches the whole text."""

import re
from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address

OPS = "OPS"

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label, as Kubernetes has it
SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)(\*|[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*"
)
"""A DNS name in a certificate: it may start with `*.`, and private names may have underscores."""
GLOB = re.compile(r"[-a-z0-9.*]{1,253}")
CLUSTER_GLOB = re.compile(r"[-a-z0-9*]{1,63}")
ADDRESS = re.compile(r"(\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9.-]{1,253}))(:(?P<port>[0-9]{1,5}))?")
LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
DATA_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")  # of a Secret or ConfigMap
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # RFC 9562, as Kubernetes writes it

RESERVED_DOMAINS = {
    "tls-sync.io": "tls-sync",
    "cert-manager.io": "cert-manager",
    "argocd.argoproj.io": "Argo CD",
    "helm.sh": "Helm",
    "fluxcd.io": "Flux",
    "k14s.io": "kapp",
    "objectset.rio.cattle.io": "Rancher",
    "kubernetes.io": "Kubernetes",
    "k8s.io": "Kubernetes",
    "x-k8s.io": "Kubernetes",
}
"""Domains of keys that make a tool write, adopt or delete an object, each with its subdomains, by the tool.

Kubernetes' are reserved as a whole: `applyset.kubernetes.io/part-of` lets `kubectl apply --prune` delete, and
each release may give a meaning to one more.
"""
DESCRIBING_KEYS = frozenset(f"app.kubernetes.io/{one}" for one in ("name", "version", "component", "part-of"))
"""Keys of these domains that only describe; `managed-by` and `instance` say who manages an object."""

SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([-a-z0-9]{1,63}):([-.a-z0-9]{1,253})")
"""The user name of a ServiceAccount: its namespace and its name."""

# No certificate is sent to the cluster's own namespaces, nor to those of the tools that manage it.
PROTECTED = frozenset({"default", "cert-manager", "argocd", "tls-sync"})


def is_namespace(text: str) -> bool:
    return LABEL.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Return whether the text is the name of a Secret; `..`, which changes a URL's path, is not."""
    return SUBDOMAIN.fullmatch(text) is not None


def data_keys(names: Iterable[object]) -> frozenset[str]:
    """Return the names of keys of a Secret's data; an invalid name is replaced by a fixed text."""
    return frozenset(
        str(one) if DATA_KEY.fullmatch(str(one)) else "a key without a valid name" for one in names
    )


def is_protected(namespace: str) -> bool:
    return namespace in PROTECTED or namespace.startswith("kube-")


def reserving_tool(key: str) -> str:
    """Return the tool whose key of a label or annotation this is; empty where no copy is harmed by it."""
    domain = key.rpartition("/")[0]
    if not domain or key in DESCRIBING_KEYS:
        return ""
    parents = (domain.split(".", number)[-1] for number in range(domain.count(".") + 1))
    return next((RESERVED_DOMAINS[one] for one in parents if one in RESERVED_DOMAINS), "")


def is_glob(pattern: str) -> bool:
    return "*" in pattern


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a glob without backtracking: each part between two `*` matches at its leftmost position."""
    first, *parts, last = map(re.escape, pattern.split("*"))
    return re.compile(f"{first}{''.join(f'(?>.*?{part})' for part in parts)}.*{last}")


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern, a name or a glob with `*` for any text, matches a name."""
    return _compiled(pattern).fullmatch(name) is not None if is_glob(pattern) else pattern == name


def overlap(one: str, other: str) -> bool:
    """Return whether some name matches both patterns.

    Two globs overlap if their beginnings and their ends are compatible: a `*` matches anything in between.
    """
    if not is_glob(one):
        return matches(other, one)
    if not is_glob(other):
        return matches(one, other)
    (head, *_, tail), (its_head, *_, its_tail) = one.split("*"), other.split("*")
    begins = head.startswith(its_head) or its_head.startswith(head)
    return begins and (tail.endswith(its_tail) or its_tail.endswith(tail))


def is_host(text: str) -> bool:
    """Return whether the text is a DNS name or an IP address, which has no zone: that may be any text."""
    if "%" in text:
        return False
    try:
        ip_address(text)
    except ValueError:
        return is_name(text.lower())
    return True


def split_address(text: str) -> tuple[str, int] | None:
    """Return host and port of `host`, `host:port` or `[IPv6]:port` (default port 443), else None."""
    found = ADDRESS.fullmatch(text)
    if not found:
        return None
    host, port = found["v6"] or found["host"], int(found["port"] or 443)
    fits = is_host(host) and (":" in host) == bool(found["v6"]) and 0 < port < 65536
    return (host, port) if fits else None


def without_user(address: str) -> str:
    """Return a URL without user and password."""
    scheme, between, rest = address.rpartition("://")
    return f"{scheme}{between}{rest.rpartition('@')[2]}"


def is_hostname_pattern(text: str) -> bool:
    """Return whether the text is a DNS name in which `*` may replace any label but the last two."""
    labels = text.split(".")
    name = ".".join("x" if label == "*" else label for label in labels)
    return is_name(name) and len(labels) > 1 and "*" not in labels[-2:]


class HostnamePatterns:
    """DNS names in which `*` stands for exactly one label; a question does not go through all of them.

    It goes through their forms: patterns have one form if they have `*` for the same labels.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = frozenset(patterns)
        self._forms = {tuple(label == "*" for label in one.split(".")) for one in self._patterns}

    def allow(self, name: str) -> bool:
        """Return whether a DNS name of a certificate matches a pattern.

        A text that is not a DNS name never matches: an issuer may sign any text.
        """
        name = name.lower()
        labels = name.split(".")
        return DNS_NAME.fullmatch(name) is not None and any(
            ".".join("*" if any_label else label for any_label, label in zip(form, labels, strict=True))
            in self._patterns
            for form in self._forms
            if len(form) == len(labels)
        )
