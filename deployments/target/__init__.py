"""What tls-sync needs on target clusters: a ServiceAccount, its rights, an admission policy, a credential.

`python -m deployments.target manifests` prints the YAML files here, adapted to a configuration, and
`… kubeconfig` collects the credentials.
"""
