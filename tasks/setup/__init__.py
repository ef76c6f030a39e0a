"""What an operator does once, with their own kubectl: a configuration, rights and credentials.

`tls-sync init` proposes a configuration, `tls-sync rights manifests` prints the YAML files here, adapted to a
configuration, and `tls-sync rights kubeconfig` collects the credentials.
"""
