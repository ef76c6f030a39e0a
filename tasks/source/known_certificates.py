"""Which of cert-manager's Certificates write which Secret, as the last list of them said."""

import time

from tasks.kube.responses import name_of
from tasks.source.issuance import parse_status


class Listing:
    """A list of Certificates, of which only the names are kept."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.names: dict[str, frozenset[str]] = {}

    def add(self, certificate: object) -> None:
        if (found := parse_status(certificate, {})) and (name := name_of(certificate)):
            secret, _ = found
            self.names[secret] = self.names.get(secret, frozenset()) | {name}


class KnownCertificates:
    """Usable from several threads."""

    def __init__(self) -> None:
        self._listing: Listing | None = None
        self.may_get = True
        """False once OPS has forbidden to get a single one."""

    def replace(self, listing: Listing) -> None:
        self._listing = listing

    def of(self, secret: str) -> frozenset[str]:
        """Return the names of the Certificates that write this Secret; empty if none is known."""
        listing = self._listing
        return listing.names.get(secret, frozenset()) if listing else frozenset()

    def is_current(self, max_age: float) -> bool:
        """Whether the list is young enough to tell that a Secret has no Certificate."""
        listing = self._listing
        return listing is not None and time.monotonic() - listing.began <= max_age
