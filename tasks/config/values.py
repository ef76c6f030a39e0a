"""Rules for single values of the configuration. Each returns the value, or raises ValueError. Pure."""

from tasks.domain import names, placeholders
from tasks.domain.annotations import COPIED_KEYS
from tasks.domain.further_keys import FURTHER_KEYS

MAX_ANNOTATION_BYTES = 64 * 1024
"""Maximum size of all annotations of a route: Kubernetes allows 256 KiB for everyone's on an object."""


def namespace(text: str) -> str:
    if not names.is_namespace(text):
        raise ValueError("not a namespace; use a DNS-1123 label: a-z, 0-9 and -, at most 63")
    return text


def target_namespace(text: str) -> str:
    if names.is_protected(text):
        raise ValueError(
            "a protected namespace (kube-*, default, cert-manager, argocd, tls-sync), "
            "to which nothing is sent; route to the application's own namespace"
        )
    return namespace(text)


def name(text: str) -> str:
    if not names.is_name(text):
        raise ValueError("not the name of a Secret; use a DNS-1123 subdomain: a-z, 0-9, - and .")
    return text


def namespace_template(text: str) -> str:
    target_namespace(_example(text))
    return text


def name_template(text: str) -> str:
    name(_example(text))
    return text


def _example(template: str) -> str:
    """Return what the template could yield. Raises ValueError where it has another placeholder."""
    example = placeholders.example_of(template)
    if "{" in example or "}" in example:
        raise ValueError("not a placeholder; {name} is the certificate's name, {1} what the * took of it")
    return example


def label(text: str) -> str:
    if not names.is_namespace(text):
        raise ValueError("use a DNS-1123 label: a-z, 0-9 and -, at most 63")
    return text


def pattern(text: str) -> str:
    if names.is_glob(text) and names.GLOB.fullmatch(text):
        return text
    if not names.is_name(text):
        raise ValueError("neither the name of a Secret nor a glob of names (only * is special)")
    return text


def cluster_pattern(text: str) -> str:
    if not names.CLUSTER_GLOB.fullmatch(text):
        raise ValueError("neither the name of a cluster nor a glob of names (only * is special)")
    return text


def label_key(text: str) -> str:
    if not names.LABEL_KEY.fullmatch(text):
        raise ValueError("not the key of a label, as in `region`")
    return text


def context(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not the name of a context; it has a character that can't be seen")
    return text


def hostname(text: str) -> str:
    if not names.is_hostname_pattern(text):
        raise ValueError("not a DNS name; write it in lower case, * for a whole label: *.example.org")
    return text


def address(text: str) -> str:
    if not names.split_address(text):
        raise ValueError("not an address; write host or host:port in lower case: ingress.example.org:443")
    return text


def selector(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        if not (names.LABEL_KEY.fullmatch(key) and names.LABEL_VALUE.fullmatch(value)):
            raise ValueError("not a label and its value, as in `team: web`")
    return labels


def metadata_key(text: str) -> str:
    """Accept the key of a label or annotation that a route may give to a copy."""
    prefix, slash, _ = text.rpartition("/")
    if not names.LABEL_KEY.fullmatch(text) or (slash and not names.is_name(prefix)):
        raise ValueError("not the key of a label or annotation, as in `team` or `example.org/team`")
    if tool := names.reserving_tool(text):
        raise ValueError(f"a key of {tool}, which would act on the copy; allow keys of its readers")
    return text


def annotations(given: dict[str, str]) -> dict[str, str]:
    size = 0
    for key, value in given.items():
        if not names.LABEL_KEY.fullmatch(key):
            raise ValueError("not the key of an annotation, as in `example.org/team`")
        try:
            size += len(key) + len(value.encode())
        except UnicodeEncodeError:
            raise ValueError("text that is not valid Unicode") from None
    if size > MAX_ANNOTATION_BYTES:
        raise ValueError(f"are more than {MAX_ANNOTATION_BYTES // 1024} KiB, with their keys; shorten them")
    return given


def further_key(text: str) -> str:
    if text in COPIED_KEYS:
        raise ValueError("is always copied; remove it")
    if text not in FURTHER_KEYS:
        raise ValueError(f"not a key that cert-manager writes; there are {', '.join(sorted(FURTHER_KEYS))}")
    return text
