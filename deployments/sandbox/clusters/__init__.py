"""Real API servers and etcd on this machine, and what talks to them as an administrator."""
