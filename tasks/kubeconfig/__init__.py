"""Reads one context of a kubeconfig strictly: the server, its CA and the credential."""
