"""The counter of private keys that the law of rest stands on."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.clusters.pki import Authority
from deployments.sandbox.clusters.rest import Rest
from deployments.sandbox.world.cert_manager import Issuer, KeyFormat, KeyKind
from tests.support.key_counter import counting_keys, decoded, keys_in
from tests.support.tls_server import answering, listening


def secret(name: str = "web", key: KeyKind = "ec", key_format: KeyFormat = "traditional") -> dict[str, Any]:
    return Issuer().secret(name, ["web.example.org"], key=key, key_format=key_format)


def text(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


@pytest.mark.parametrize("key", ["ec", "rsa"])
@pytest.mark.parametrize("key_format", ["traditional", "pkcs8"])
def test_a_key_counts_in_every_form_of_an_answer(key: KeyKind, key_format: KeyFormat) -> None:
    """A key is found in a list, a Table with objects, a watch event, an annotation and plain PEM."""
    one = secret(key=key, key_format=key_format)
    applied = {"kubectl.kubernetes.io/last-applied-configuration": text(one).decode()}
    pem = base64.b64decode(one["data"]["tls.key"])
    assert keys_in(text({"kind": "SecretList", "items": [one, secret()]})) == 2
    assert keys_in(text({"kind": "Table", "rows": [{"cells": ["web"], "object": one}]})) == 1
    assert keys_in(text({"type": "MODIFIED", "object": one})) == 1
    assert keys_in(text({"metadata": {"annotations": applied}})) == 1
    assert keys_in(b"k8s\0" + pem) == 1
    assert keys_in(text({"message": pem.decode()})) == 1


def test_a_certificate_is_no_key() -> None:
    """Certificates, metadata and the names of keys count nothing."""
    one = secret()
    del one["data"]["tls.key"]
    managed = [{"manager": "tls-sync", "fieldsV1": {"f:data": {"f:tls.key": {}}}}]
    assert keys_in(text(one)) == keys_in(text({"metadata": {"managedFields": managed}})) == 0


def test_what_is_compressed_is_unpacked() -> None:
    """Gzip is looked into; an encoding that can't be is an error, and not no key."""
    content = text(secret())
    assert keys_in(decoded(gzip.compress(content), "gzip")) == keys_in(decoded(content, "")) == 1
    with pytest.raises(ValueError, match="zstd"):
        decoded(content, "zstd")


def test_the_proxy_counts_what_a_client_reads(tmp_path: Path) -> None:
    """Through the kubeconfig each answer is counted, by cluster; afterwards it is as it was."""
    authority = Authority("a cluster")
    body, file = text({"items": [secret(), secret()]}).decode(), tmp_path / "kubeconfig"
    with listening(answering(tmp_path, *authority.serving(), body)) as address:
        trust = base64.b64encode(authority.pem).decode()
        cluster = {"server": f"https://{address}", "certificate-authority-data": trust}
        file.write_text(before := yaml.safe_dump({"clusters": [{"name": "dev", "cluster": cluster}]}))
        with counting_keys(file) as counter:
            client = through(file)
            assert len(client.list("/api/v1/secrets")) == 2
            assert (counter.keys_read, counter.keys_by_cluster) == (2, {"dev": 2})
    assert file.read_text() == before


def through(file: Path, token: str = "") -> Rest:
    """A client of the first cluster of a kubeconfig."""
    cluster = yaml.safe_load(file.read_text())["clusters"][0]["cluster"]
    ca, port = base64.b64decode(cluster["certificate-authority-data"]), cluster["server"].rpartition(":")[2]
    return Rest("127.0.0.1", int(port), ca, token)
