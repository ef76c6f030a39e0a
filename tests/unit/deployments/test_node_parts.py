"""The parts of a real node that need none: packages, addresses, pip's settings, digests."""

import json
import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from deployments.sandbox.clusters.api_server import Setting
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.node import images, network, pip_configuration
from deployments.sandbox.programs import packages


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names all missing packages, with the command; nothing is installed."""
    monkeypatch.setattr(packages, "_PATH", "/nowhere")
    with pytest.raises(SandboxError) as caught:
        packages.require({"ctr": "containerd", "buildah": "buildah"}, {"containerd": "containerd"})
    assert str(caught.value).endswith("apt-get install --no-install-recommends buildah containerd")


def test_without_root_a_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before anything is created."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="needs root"):
        packages.require({})


def test_a_node_keeps_off_the_machines_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the first /16 that no route leads to; default routes do not count."""
    routes = [{"dst": "default"}, {"dst": "10.88.7.0/24"}, {"dst": "10.89.0.1"}, {"dst": "fe80::/64"}]
    monkeypatch.setattr(network, "_ip", lambda *_: json.dumps(routes))
    found = network.free()
    assert found.range == IPv4Network("10.90.0.0/16")
    parts = [found.pods, found.services, IPv4Network(f"{found.node}/24", strict=False)]
    assert all(part.subnet_of(found.range) for part in parts)
    assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)


def test_no_free_range_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine routes all of 10/8, it is an error."""
    monkeypatch.setattr(network, "_ip", lambda *_: json.dumps([{"dst": "10.0.0.0/8"}]))
    with pytest.raises(SandboxError, match="no free range"):
        network.free()


def test_a_server_is_known_by_the_names_that_pods_use() -> None:
    """They are its address and its first Service's, besides those of this machine."""
    setting = Setting("10.88.2.1", IPv4Network("10.88.1.0/24"))
    assert {"127.0.0.1", "10.88.2.1", "10.88.1.1", "kubernetes.default.svc"} <= set(setting.names)


def test_pips_settings_are_those_of_pip(tmp_path: Path) -> None:
    """The environment overrides the files, and settings for this machine alone are left out."""
    file = tmp_path / "named.conf"
    file.write_text("[global]\nindex-url = https://of.the.file/simple\ncert = /certs/of-the-file.pem\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    environment = {
        "PIP_CONFIG_FILE": str(file),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PIP_INDEX_URL": "https://of.the.environment/simple",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CACHE_DIR": "/cache",
        "HOME": str(tmp_path),
    }
    found = pip_configuration.settings(environment)
    assert found["index-url"] == "https://of.the.environment/simple"
    assert found["cert"] == "/certs/of-the-file.pem"
    assert "cache-dir" not in found
    assert wheels in pip_configuration.paths(found)
    assert Path("/certs/of-the-file.pem") not in pip_configuration.paths(found)

    copy = tmp_path / "pip.conf"
    pip_configuration.write(copy, found)
    assert copy.stat().st_mode & 0o077 == 0
    assert pip_configuration.settings({**environment, "PIP_CONFIG_FILE": str(copy)}) == found


def test_an_images_name_follows_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte that is copied changes the digest, and nothing else does."""
    dockerfile = tmp_path / "deployments" / "Dockerfile"
    dockerfile.parent.mkdir()
    dockerfile.write_text("FROM x AS build\nCOPY flows/ /opt/flows/\nFROM x\nCOPY --from=build /opt /opt\n")
    (tmp_path / ".dockerignore").write_text("*\n")
    (tmp_path / "flows").mkdir()
    code = tmp_path / "flows" / "flow.py"
    code.write_text("1")
    monkeypatch.setattr(images, "_ROOT", tmp_path)
    monkeypatch.setattr(images, "_DOCKERFILE", dockerfile)
    first = images.digest(Path("base.tar"))
    (tmp_path / "README.md").write_text("other")
    assert images.digest(Path("base.tar")) == first
    code.write_text("2")
    assert images.digest(Path("base.tar")) != first
    code.write_text("1")
    assert images.digest(Path("other-base.tar")) != first


def test_old_images_do_not_fill_the_cache(tmp_path: Path) -> None:
    """The latest images stay, and so do other files."""
    names = ["tls-sync-c.tar", "tls-sync-a.tar", "tls-sync-b.tar"]
    for age, name in enumerate([*names, "base.tar"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    images._delete_old(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"tls-sync-a.tar", "tls-sync-b.tar", "base.tar"}
