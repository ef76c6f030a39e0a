"""The TLS handshake of `make demo-acme`: it succeeds for what a client trusts, and for nothing else."""

import ssl

import pytest

from deployments.sandbox.demo.handshake import certificate_served
from deployments.sandbox.world import unfit
from deployments.sandbox.world.cert_manager import Issuer, leaf_of

NAME = "web.example.org"


def test_a_client_gets_the_certificate_that_it_trusts() -> None:
    """The leaf of the Secret is served with its chain, up to the root that the client knows."""
    issuer = Issuer()
    secret = issuer.secret("web-tls", [NAME])
    assert certificate_served(secret, NAME, issuer.root.pem) == leaf_of(secret)


def test_a_client_refuses_another_name_and_another_root() -> None:
    """The demo's success says something: a client that should not trust the Secret does not."""
    issuer = Issuer()
    secret = issuer.secret("web-tls", [NAME])
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate_served(secret, "other.example.org", issuer.root.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate_served(secret, NAME, Issuer().root.pem)


def test_a_server_refuses_the_key_of_another_certificate() -> None:
    """A Secret that is half of one version and half of another is served by nobody."""
    issuer = Issuer()
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        certificate_served(unfit.mismatched_key(issuer, "web-tls", [NAME]), NAME, issuer.root.pem)
