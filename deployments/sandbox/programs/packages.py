"""The Debian packages of programs that tests run. This module names them and installs none."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deployments.sandbox.errors import SandboxError

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

# Each package by a program or file of it.
NODE: Mapping[str, str] = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
IMAGES: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap"}
BROWSER: Mapping[str, str] = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf": "fonts-noto-color-emoji",  # reports have emoji
}
MONITORING: Mapping[str, str] = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "prometheus-alertmanager": "prometheus-alertmanager",
}
DATABASE: Mapping[str, str] = {"pg_ctlcluster": "postgresql"}
ARGO_CD: Mapping[str, str] = {"redis-server": "redis-server", "git": "git"}
TLS_SERVERS: Mapping[str, str] = {"nginx": "nginx", "haproxy": "haproxy"}


def path_of(program: str) -> str:
    """Return the path of a program, for which a function below has checked the package."""
    return shutil.which(program, path=_PATH) or program


def _is_here(program: str) -> bool:
    """Tell whether a program is installed, by its name or the path of a file."""
    return Path(program).exists() if program.startswith("/") else bool(shutil.which(program, path=_PATH))


def names(*programs: Mapping[str, str]) -> list[str]:
    """Return the packages of these programs."""
    return sorted({package for group in programs for package in group.values()})


def require(*programs: Mapping[str, str]) -> None:
    """Raise one SandboxError that names all packages that a node lacks, and how to install them."""
    _require_packages("a real node", *programs)
    if os.geteuid():
        raise SandboxError("a real node needs root: it makes containers, mounts and network links")


def require_monitoring() -> None:
    """Do the same for Prometheus, which needs no root."""
    _require_packages("a test with Prometheus", MONITORING)


def require_tls_servers() -> None:
    """Do the same for servers that load certificates."""
    _require_packages("a test with nginx and HAProxy", TLS_SERVERS)


def require_postgresql() -> None:
    """Do the same for PostgreSQL."""
    _require_packages("a test with PostgreSQL", DATABASE)
    if os.geteuid():
        raise SandboxError("a test with PostgreSQL needs root: it runs as the user of Debian's package")


def require_argo_cd() -> None:
    """Do the same for what Argo CD needs beside itself."""
    _require_packages("a test with Argo CD", ARGO_CD)


def _require_packages(what: str, *programs: Mapping[str, str]) -> None:
    wanted = {program: package for group in programs for program, package in group.items()}
    missing = {package for program, package in wanted.items() if not _is_here(program)}
    if missing:
        raise SandboxError(
            f"{what} needs programs that this machine lacks. Install them (Debian 12 or later):\n"
            f"  apt-get install --no-install-recommends {' '.join(sorted(missing))}"
        )
