"""A real Kubernetes node: containerd, kubelet, network, images."""
