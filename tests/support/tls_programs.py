"""Runs TLS servers with a certificate: Debian's nginx and HAProxy, and Go's TLS."""

import json
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import packages

SECONDS = 300
NGINX = """daemon off; pid nginx.pid; error_log stderr; events {{}}
http {{ access_log off; server {{
  listen 127.0.0.1:{port} ssl; ssl_certificate {crt}; ssl_certificate_key {key};
}}
client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e; }}
"""
HAPROXY = """global
  maxconn 10
defaults
  mode http
  timeout client 1s
  timeout server 1s
  timeout connect 1s
frontend web
  bind 127.0.0.1:8443 ssl crt {both}
"""
FIELDS = ("Certificate", "Key", "Root")
"""Parts of a Chain, by their names in the Go program."""


class Chain(NamedTuple):
    """The content of tls.crt and tls.key, and the root that clients trust."""

    crt: bytes
    key: bytes
    root: bytes

    @property
    def secret(self) -> dict[str, Any]:
        data = {"tls.crt": self.crt, "tls.key": self.key}
        return {"metadata": {}, "data": {key: b64encode(value).decode() for key, value in data.items()}}


@contextmanager
def installed() -> Iterator[None]:
    """Raises SandboxError if a program is missing and can't be had."""
    packages.require_tls_servers()
    yield


def nginx_takes(chain: Chain) -> bool:
    """Tell whether `nginx -t` accepts a server with this certificate."""
    with tempfile.TemporaryDirectory() as folder:
        crt, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        crt.write_bytes(chain.crt)
        key.write_bytes(chain.key)
        file = Path(folder, "nginx.conf")
        file.write_text(NGINX.format(port=8443, crt=crt, key=key))
        return _succeeds("nginx", "-t", "-q", "-p", folder, "-c", str(file))


def haproxy_takes(chain: Chain) -> bool:
    """Tell whether `haproxy -c` accepts it."""
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder, "both.pem")
        both.write_bytes(chain.crt + b"\n" + chain.key)
        file = Path(folder, "haproxy.cfg")
        file.write_text(HAPROXY.format(both=both))
        return _succeeds("haproxy", "-c", "-q", "-f", str(file))


def _succeeds(program: str, *arguments: str) -> bool:
    path = packages.path_of(program)
    done = subprocess.run([path, *arguments], capture_output=True, timeout=SECONDS, check=False)
    return done.returncode == 0


def errors_of_go(chains: Mapping[str, Chain], name: str, now: datetime) -> dict[str, str]:
    """Return the error of a Go client that verifies a Go server; empty if there is none."""
    go = shutil.which("go")
    if go is None:
        raise SandboxError("there is no Go here: install Go 1.26 or newer (https://go.dev/dl)")
    cases = {
        text: {
            **{field: b64encode(content).decode() for field, content in zip(FIELDS, one, strict=True)},
            "Name": name,
            "Now": now.isoformat(),
        }
        for text, one in chains.items()
    }
    done = subprocess.run(
        [go, "run", "."],
        cwd=Path(__file__).parent / "go_client",
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found
