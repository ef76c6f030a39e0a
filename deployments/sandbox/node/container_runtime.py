"""containerd with runc and a point-to-point CNI network, in a node's namespaces."""

import json
import time
from pathlib import Path

from deployments.sandbox import processes
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.node.namespaces import Namespaces
from deployments.sandbox.node.network import Network

SOCKET = "unix:///run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/pause:1"
_START_SECONDS = 60
_CNI_PROGRAMS = "/usr/lib/cni"

# restrict_oom_score_adj: without CAP_SYS_RESOURCE, root can't lower oom_score_adj.
# runc, since crun refuses machines that have both versions of cgroups.
_CONFIGURATION = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs}"
    conf_dir = "{configuration}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


class ContainerRuntime:
    def __init__(self, namespaces: Namespaces, network: Network) -> None:
        self._namespaces = namespaces
        self._network = network
        self.log = namespaces.directory / "containerd.log"

    def start(self) -> None:
        """Start containerd and wait until it answers."""
        process = self._namespaces.spawn(["/usr/bin/containerd", "--config", self._configure()], self.log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SandboxError(
                    f"containerd did not start:\n{processes.tail(self.log)}\nThe whole log is {self.log}."
                )
            time.sleep(0.1)

    def load(self, archive: Path) -> None:
        """Import an image from a Docker archive."""
        self._namespaces.run("ctr", "--namespace", "k8s.io", "images", "import", archive)

    def _answers(self) -> bool:
        try:
            self._namespaces.run("ctr", "version")
        except SandboxError:
            return False
        return True

    def _configure(self) -> Path:
        directory = self._namespaces.directory
        cni = directory / "cni"
        cni.mkdir()
        (cni / "pods.conflist").write_text(json.dumps(self._pod_network()))
        file = directory / "containerd.toml"
        file.write_text(_CONFIGURATION.format(pause=PAUSE_IMAGE, programs=_CNI_PROGRAMS, configuration=cni))
        return file

    def _pod_network(self) -> dict[str, object]:
        """Return a network without a bridge: pods on one bridge bypass the rules of Services."""
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": str(self._network.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugin = {"type": "ptp", "ipMasq": True, "ipam": addresses}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [plugin]}
