"""What target clusters need of tls-sync: an account, its rights, an admission policy, a credential.

The YAML files are the truth; `python -m deployments.target manifests` prints them for a configuration, and
`… kubeconfig` collects the credentials.
"""
