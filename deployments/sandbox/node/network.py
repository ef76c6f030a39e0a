"""The node's network: a link between the machine and the node, and behind it pods and Services.

The machine reaches these by their addresses, and pods reach what listens on the machine's end of the link.
Nothing else of the machine's network changes.
"""

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network

from deployments.sandbox.errors import SandboxError
from deployments.sandbox.node.namespaces import Namespaces

_CANDIDATES = [IPv4Network(f"10.{octet}.0.0/16") for octet in range(88, 256)]


@dataclass(frozen=True)
class Network:
    """A /16 that no route of this machine leads to."""

    range: IPv4Network

    @property
    def pods(self) -> IPv4Network:
        return self._part(0)

    @property
    def services(self) -> IPv4Network:
        return self._part(1)

    @property
    def machine(self) -> IPv4Address:
        """The address on which the API servers listen."""
        return self._part(2)[1]

    @property
    def node(self) -> IPv4Address:
        return self._part(2)[2]

    @property
    def link(self) -> str:
        return f"tls-sync-{self.range.network_address.packed[1]}"

    def _part(self, index: int) -> IPv4Network:
        return list(self.range.subnets(new_prefix=24))[index]

    def connect(self, namespaces: Namespaces) -> None:
        """Create the link and the routes, which the kernel removes when the namespaces end."""
        _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(namespaces.pid))
        _ip("address", "add", f"{self.machine}/24", "dev", self.link)
        _ip("link", "set", self.link, "up")
        namespaces.run("ip", "link", "set", "lo", "up")
        namespaces.run("ip", "address", "add", f"{self.node}/24", "dev", "eth0")
        namespaces.run("ip", "link", "set", "eth0", "up")
        namespaces.run("ip", "route", "add", "default", "via", str(self.machine))
        for behind in (self.pods, self.services):
            _ip("route", "add", str(behind), "via", str(self.node))


def free() -> Network:
    """Return a range that none of the machine's routes leads to."""
    routes = json.loads(_ip("-json", "route", "show", "table", "all"))
    taken = [network for route in routes if (network := _destination(route))]
    for candidate in _CANDIDATES:
        if not any(candidate.overlaps(network) for network in taken):
            return Network(candidate)
    raise SandboxError("no free range of addresses for the node: each 10.88.0.0/16 and up has a route")


def _destination(route: dict[str, str]) -> IPv4Network | None:
    try:
        network = ip_network(route["dst"])
    except ValueError:  # default
        return None
    return network if isinstance(network, IPv4Network) else None


def _ip(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["ip", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
