"""The list of what is in an image (SBOM), in CycloneDX: packages of Python and of Debian, and Python itself.

It is read from the layers, so that it lists what is there and not what somebody meant to install.
"""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from typing import Any
from urllib.parse import quote

from deployments.release.layout import Image
from deployments.release.project import Project, ReleaseError

_METADATA = r"opt/venv/lib/python3[.\d]*/site-packages/[^/]+\.dist-info/METADATA"
_STATUS = r"var/lib/dpkg/status"
_RELEASE = r"(?:etc|usr/lib)/os-release"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "cyclonedx.org")

Component = dict[str, Any]


def sbom(image: Image, project: Project, locked: str) -> dict[str, Any]:
    """Return the document. Raises ReleaseError for a Python package that the lock file does not have."""
    python = sorted(_python_packages(image), key=_reference)
    _compare(python, locked)
    components = [*python, *sorted(_debian_packages(image), key=_reference), *_interpreter(image)]
    itself = _component(
        "container", "tls-sync", project.version, f"pkg:oci/tls-sync@{quote(image.digest, '')}"
    )
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, image.digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(project.time, UTC).isoformat().replace("+00:00", "Z"),
            "component": itself,
            "properties": [{"name": "tls-sync:platform", "value": image.platform}],
        },
        "components": components,
    }


def locked_versions(lock: str) -> dict[str, str]:
    """Return the version of each package of a lock file."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", lock, re.MULTILINE))


def _compare(python: list[Component], lock: str) -> None:
    versions = locked_versions(lock)
    for one in python:
        if versions.get(one["name"]) != one["version"]:
            raise ReleaseError(
                f"the image has {one['name']} {one['version']}, but the lock file {versions.get(one['name'])}"
            )
    if not python:
        raise ReleaseError("no Python package was found in the image: its layout is not what sbom.py reads")


def _python_packages(image: Image) -> Iterator[Component]:
    for content in image.files(_METADATA).values():
        header = BytesHeaderParser().parsebytes(content)
        name = re.sub(r"[-_.]+", "-", header["Name"]).lower()
        version = header["Version"]
        licence = header["License-Expression"]
        found = _component("library", name, version, f"pkg:pypi/{name}@{quote(version, '')}")
        yield found | ({"licenses": [{"expression": licence}]} if licence else {})


def _debian_packages(image: Image) -> Iterator[Component]:
    release = _variables(next(iter(image.files(_RELEASE).values()), b""))
    distribution = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}".rstrip("-")
    for status in image.files(_STATUS).values():
        for block in status.split(b"\n\n"):
            package = BytesHeaderParser().parsebytes(block + b"\n")
            if package["Status"] != "install ok installed":
                continue
            name, version = package["Package"], package["Version"]
            place = f"arch={package['Architecture']}&distro={distribution}"
            yield _component("library", name, version, f"pkg:deb/debian/{name}@{quote(version, '')}?{place}")


def _interpreter(image: Image) -> Iterator[Component]:
    """Yield the Python of an image of Docker's, which is no package of Debian."""
    environment = dict(one.split("=", 1) for one in image.config["config"].get("Env", []))
    if version := environment.get("PYTHON_VERSION"):
        yield _component("application", "python", version, f"pkg:generic/python@{version}")


def _variables(text: bytes) -> dict[str, str]:
    lines = (line.partition("=") for line in text.decode().splitlines())
    return {name: value.strip('"') for name, _, value in lines}


def _component(kind: str, name: str, version: str, purl: str) -> Component:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _reference(component: Component) -> str:
    return str(component["purl"])
