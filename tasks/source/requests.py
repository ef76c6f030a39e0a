"""Reads where Certificates ask that their Secrets be copied, from the annotation tls-sync.io/to. Pure.

It is read in a Certificate's spec.secretTemplate, and never on a Secret.
"""

from dataclasses import replace
from typing import Any

from tasks.domain.annotations import REQUEST
from tasks.domain.models import CopyRequest
from tasks.domain.names import is_name, is_namespace

MAX_ENTRIES = 100
"""Maximum number of places that one Certificate may ask for."""
MAX_LENGTH = 13_000
"""Maximum length of the annotation: so many entries of the longest names."""


class Requests:
    """What the Certificates of a list ask for, by the Secrets that they write."""

    def __init__(self) -> None:
        self._writers: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, CopyRequest] = {}

    def add(self, certificate: object) -> None:
        """Add one Certificate, which counts as a writer of its Secret also where it asks for nothing."""
        metadata, spec = (_mapping(certificate, name) for name in ("metadata", "spec"))
        secret, own = spec.get("secretName"), metadata.get("name")
        if not (isinstance(secret, str) and is_name(secret)):
            return
        writer = own if isinstance(own, str) and is_name(own) else secret
        writers = self._writers[secret] = (*self._writers.get(secret, ()), writer)
        annotations = _mapping(_mapping(spec, "secretTemplate"), "annotations")
        if REQUEST in annotations:
            asked, fault = parse(annotations[REQUEST])
            self._found[secret] = CopyRequest(secret=secret, certificates=writers, asked=asked, fault=fault)

    def found(self) -> tuple[CopyRequest, ...]:
        """Return the requests, sorted; of several Certificates with one Secret, as one request of all."""
        return tuple(
            replace(one, certificates=tuple(sorted(self._writers[secret])))
            for secret, one in sorted(self._found.items())
        )


def parse(text: object) -> tuple[tuple[str, ...], str]:
    """Return the places of an annotation, each `cluster/namespace`, or what is wrong with it.

    What is wrong says nothing of the text itself, which anyone may have written.
    """
    if not isinstance(text, str):
        return (), "it is not text"
    if len(text) > MAX_LENGTH:
        return (), f"it is longer than {MAX_LENGTH:,} characters"
    entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
    if len(entries) > MAX_ENTRIES:
        return (), f"it has {len(entries):,} entries, at most {MAX_ENTRIES} are allowed"
    for number, entry in enumerate(entries, start=1):
        cluster, _, namespace = entry.partition("/")
        if not (is_namespace(cluster) and is_namespace(namespace)):
            return (), f"its entry {number} is not cluster/namespace"
    return tuple(dict.fromkeys(entries)), ""


def _mapping(value: object, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
