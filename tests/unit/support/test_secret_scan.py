"""The scanner that the canary test rests on."""

import base64
from collections.abc import Callable

import pytest

from deployments.sandbox.world.cert_manager import Issuer
from tests.support.secret_scan import HIDINGS, found_in


@pytest.mark.parametrize("hide", HIDINGS.values(), ids=HIDINGS)
def test_a_key_is_found_however_it_was_left(hide: Callable[[bytes], bytes]) -> None:
    """The scan finds a private key in every form that a program could give it, and only where it is."""
    secrets = [Issuer().secret(name, ["web.example.org"], key="ec") for name in ("one", "two")]
    key, other = (base64.b64decode(secret["data"]["tls.key"]) for secret in secrets)
    left = b"some text " + hide(key) + b" more text"
    assert found_in(left, {"key": key, "other": other}) == {"key"}
