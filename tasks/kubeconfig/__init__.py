"""One context of a kubeconfig, strictly read: the server, its CA and the credential."""
