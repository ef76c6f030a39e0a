"""Secrets with keys on which a library fails, or works for minutes."""

from deployments.sandbox.clusters.manifests import Manifest
from tests.support.clusters import World
from tests.support.der_writer import octets, pem
from tests.support.written_keys import NAMES, PKCS1, PKCS8, certified, generated, pkcs8


def spoilt_secrets(world: World) -> list[Manifest]:
    """Return each Secret under a routed name and under one that no route matches."""
    short = [
        pem(pkcs8(bytes.fromhex(oid), octets(bytes(size))), PKCS8)
        for oid, size in (
            ("06032b6570", 31),
            ("06032b656e", 31),
            ("06032b6571", 56),
        )  # Ed25519, X25519, Ed448
    ]
    oversized = generated()._replace(p=2**32767 + 1, q=2**32767 + 1)
    data = [
        {"tls.crt": certified(world.issuer, generated().public), "tls.key": key}
        for key in (*short, pem(oversized.pkcs1, PKCS1))
    ]
    return [
        world.issuer.manifest(f"{prefix}-bad-{number}-tls", NAMES, one)
        for number, one in enumerate(data)
        for prefix in ("web", "unrouted")
    ]
