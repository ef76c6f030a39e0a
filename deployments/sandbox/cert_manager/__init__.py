"""cert-manager's own controllers, and an ACME server for them."""
