"""Real API servers and etcd on this machine, and clients with an administrator's rights."""
