"""What cert-manager's own code has made, recorded: tests/support/cert_manager/main.go says how.

The certificates are valid from the end of November 2026 for a century: a test of dates hands in its clock.
"""

import copy
import json
from pathlib import Path
from typing import Literal

from deployments.sandbox.clusters.manifests import Manifest

FILE = Path(__file__).parent / "cert_manager" / "temporary.json"
Kind = Literal["issuer", "clusterIssuer"]
KINDS: tuple[Kind, ...] = ("issuer", "clusterIssuer")


def temporary(kind: Kind, name: str = "") -> tuple[Manifest, Manifest]:
    """A Secret with a temporary certificate, and the Certificate that asked for it; or so under this name."""
    found = copy.deepcopy(json.loads(FILE.read_text())[kind])
    secret, certificate = found["secret"], found["certificate"]
    if name:
        secret["metadata"]["name"] = certificate["metadata"]["name"] = name
        secret["metadata"]["annotations"]["cert-manager.io/certificate-name"] = name
        certificate["spec"]["secretName"] = name
    return secret, certificate
