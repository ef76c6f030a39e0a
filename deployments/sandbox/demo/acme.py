"""The whole way of a certificate: Certificate, ACME order, Secret, copies, TLS handshake; and a renewal."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from deployments.sandbox.cert_manager import resources
from deployments.sandbox.cert_manager.source import Source, source
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.demo import flow_run, handshake, narration
from deployments.sandbox.demo.prefect_server import prefect_server
from deployments.sandbox.demo.workspace import workspace
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.progress import Waiting, say
from deployments.sandbox.world import oracle, scenario
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from deployments.sandbox.world.oracle import COPIES, Place

_RENEWED = "homarr-prd-tls"
_NAMES: Mapping[str, str] = {
    one.name: one.dns_names[0].replace("*", "anything") for one in scenario.CERTIFICATES
}

Served = dict[Place, x509.Certificate]


def run() -> int:
    """Return exit status 0 if every client trusts every copy, and gets the renewed certificate at the end."""
    clock = Waiting("", say)
    say("starting a Prefect server, four clusters, an ACME server and cert-manager; this takes two minutes")
    with (
        workspace() as directory,
        prefect_server(directory, **flow_run.SETTINGS) as server,
        Sandbox(directory=directory / "clusters") as sandbox,
        source(sandbox, directory, say) as issuing,
    ):
        _issue(issuing, sandbox, directory)
        server.wait(say)
        root = issuing.acme.root()
        first = _copy("2 of 4: A run copies them, and TLS clients trust the copies", sandbox, root)
        _renew(issuing, sandbox)
        second = _copy("4 of 4: A run copies the renewal, and clients get it", sandbox, root)
        failures = _objections(first, second)
    narration.heading("The end")
    for failure in failures:
        narration.failure(f"differs: {failure}")
    if not failures:
        narration.success(f"Every client trusts what the clusters hold ({clock.seconds} s).")
    return 1 if failures else 0


def _issue(issuing: Source, sandbox: Sandbox, directory: Path) -> None:
    narration.heading("1 of 4: cert-manager orders certificates from the ACME server")
    narration.paragraph(
        "OPS gets a ClusterIssuer and seven Certificates. cert-manager's own controllers generate keys, "
        "order from pebble, the ACME server of Let's Encrypt for tests, and answer its DNS01 challenges; "
        "each certificate becomes a Secret. An eighth Certificate names an issuer that does not exist, so "
        "cert-manager signs a temporary certificate itself."
    )
    world = scenario.build(sandbox, directory, issuing.fill)
    issuing.await_filled(sandbox.cluster(SOURCE_CLUSTER).admin)
    os.environ |= {"TLS_SYNC_CONFIG": str(world.config), "KUBECONFIG": str(world.kubeconfig)}
    orders = sandbox.cluster(SOURCE_CLUSTER).admin.list("/apis/acme.cert-manager.io/v1/orders")
    for order in orders:
        names = ", ".join(order["spec"]["dnsNames"])
        narration.success(f"order:   {names} is {order['status']['state']}")


def _copy(title: str, sandbox: Sandbox, root: bytes) -> Served:
    narration.heading(title)
    result = flow_run.run("running the flow", {})
    narration.report(result.report)
    if result.state != "Completed":
        raise SandboxError(f"the run is {result.state}: {result.message}")
    return _connect(sandbox, root)


def _connect(sandbox: Sandbox, root: bytes) -> Served:
    """Make a TLS handshake with each copy, by a client that trusts the ACME server's root alone."""
    secrets = oracle.look(sandbox).secrets
    served: Served = {}
    for place, name in COPIES.items():
        try:
            served[place] = handshake.certificate_served(secrets[place], _NAMES[name], root)
        except ssl.SSLError as error:
            raise SandboxError(f"no TLS client trusts {place}: {error.reason}") from error
        issuer = served[place].issuer.rfc4514_string()
        serial = f"{served[place].serial_number:x}"[:12]
        narration.success(
            f"trusted: https://{_NAMES[name]} on {place.cluster}: serial {serial}…, from {issuer}"
        )
    return served


def _renew(issuing: Source, sandbox: Sandbox) -> None:
    narration.heading("3 of 4: cert-manager renews a certificate")
    narration.paragraph(
        f"{_RENEWED} gets the condition Issuing, which is what `cmctl renew` does. cert-manager orders "
        "again, with another key."
    )
    admin = sandbox.cluster(SOURCE_CLUSTER).admin
    resources.renew(admin, _RENEWED)
    issuing.await_issued(admin, [_RENEWED])


def _objections(first: Served, second: Served) -> list[str]:
    """Only the renewed certificate is another one, with another key."""
    found = []
    for place, name in COPIES.items():
        differs = first[place].public_key() != second[place].public_key()
        if differs != (name == _RENEWED):
            found.append(f"{place} has {'another key' if differs else 'the key from before the renewal'}")
    return found
