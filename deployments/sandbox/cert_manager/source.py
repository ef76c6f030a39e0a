"""OPS as it is: cert-manager's controllers issue the example's certificates from an ACME server."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.cert_manager.acme import Acme
from deployments.sandbox.cert_manager.controllers import CertManager
from deployments.sandbox.cert_manager.resources import (
    acme_issuer,
    certificate,
    delete_orphans,
    is_ready,
    path_of,
)
from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.admin import Admin
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Say, Waiting
from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.scenario import CERTIFICATES, TEMPORARY, Wanted

PROGRAMS = ("cert-manager", "dns01", "pebble")
ISSUE_SECONDS = 120
LATER_ISSUER = "letsencrypt-next"
"""An issuer that does not exist, so that the certificate that names it stays temporary."""

_ALGORITHMS = {"ec": ("ECDSA", 256), "rsa": ("RSA", 2048)}
_ENCODINGS = {"traditional": "PKCS1", "pkcs8": "PKCS8"}


@dataclass(frozen=True)
class Source:
    """cert-manager on one cluster, and the ACME server that its issuer orders from."""

    acme: Acme
    cert_manager: CertManager
    authority: pki.Authority
    """It signs the ACME server's own certificate."""
    say: Say

    @property
    def children(self) -> dict[str, tuple[int, Path]]:
        """Process id and log of each program, by a name for people."""
        return {"cert-manager": (self.cert_manager.pid, self.cert_manager.log), **self.acme.children}

    def fill(self, admin: Admin) -> None:
        """Create the issuer and the Certificates. cert-manager issues them within some 70 seconds.

        Beside them are Secrets that must not be copied: a temporary certificate, an expired one that no
        Certificate renews any more, and a password.
        """
        admin.ensure(acme_issuer(self.acme, self.authority))
        for manifest in (*map(certificate_of, CERTIFICATES), _never_issued(TEMPORARY)):
            admin.ensure(manifest)
        old = Issuer()
        admin.create(unfit.expired(old, "legacy-dev-tls", ["legacy.dev.example.org"]))
        admin.create(unfit.opaque(old, "smtp-credentials"))

    def await_filled(self, admin: Admin) -> None:
        """Wait until all that can be issued is, and the temporary certificate is there."""
        self.await_issued(admin, [one.name for one in CERTIFICATES])
        self.await_for(
            f"cert-manager to write the temporary certificate {TEMPORARY.name}",
            lambda: admin.secret(SOURCE_NAMESPACE, TEMPORARY.name),
        )

    def await_issued(self, admin: Admin, names: Collection[str]) -> None:
        """Wait until these Certificates are issued; SandboxError with cert-manager's last lines otherwise."""
        self.await_for(
            f"cert-manager to get {len(names)} certificate(s) from the ACME server, a minute for a new name",
            lambda: all(is_ready(admin.get(path_of(name))) for name in names),
        )

    def await_for(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until it holds, for two minutes; SandboxError with cert-manager's last lines otherwise."""
        waiting = Waiting(f"waiting for {what}", self.say)
        self.say(f"waiting for {what}")
        while not holds():
            if waiting.seconds > ISSUE_SECONDS or not self.cert_manager.is_running:
                raise SandboxError(
                    f"waited {waiting.seconds} s in vain for {what}.\n{self.cert_manager.explain()}"
                )
            delete_orphans(self.cert_manager.admin)
            waiting.tick()
            time.sleep(0.2)


@contextmanager
def source(sandbox: Sandbox, directory: Path, say: Say) -> Iterator[Source]:
    """Run cert-manager on OPS and an ACME server, with its files in the directory."""
    with (
        Acme(directory, sandbox.authority, say) as acme,
        CertManager(sandbox.cluster(SOURCE_CLUSTER), acme.nameserver, say) as cert_manager,
    ):
        yield Source(acme, cert_manager, sandbox.authority, say)


def certificate_of(wanted: Wanted) -> Manifest:
    """Return the Certificate that cert-manager issues as the example has it."""
    return certificate(wanted.name, *wanted.dns_names, **_spec(wanted))


def _never_issued(wanted: Wanted) -> Manifest:
    return certificate(
        wanted.name,
        *wanted.dns_names,
        issuer={"kind": "ClusterIssuer", "name": LATER_ISSUER},
        annotations={"cert-manager.io/issue-temporary-certificate": "true"},
        **_spec(wanted),
    )


def _spec(wanted: Wanted) -> Manifest:
    algorithm, size = _ALGORITHMS[wanted.key]
    key = {"algorithm": algorithm, "size": size, "encoding": _ENCODINGS[wanted.key_format]}
    return {"privateKey": key}
