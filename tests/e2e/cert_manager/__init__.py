"""The life of a certificate: cert-manager's own controllers and an ACME server on OPS, tls-sync as it is."""
