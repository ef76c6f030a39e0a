"""tls-sync by Argo CD: `make e2e-argo-cd`."""
