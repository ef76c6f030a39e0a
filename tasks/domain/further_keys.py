"""Keys of a TLS Secret that cert-manager writes on request, beside tls.crt, tls.key and ca.crt. Pure."""

COMPARED_KEYS = frozenset({"key.der", "tls-combined.pem"})
"""What they hold follows from tls.crt and tls.key."""
KEYSTORES = frozenset({"keystore.p12", "keystore.jks", "truststore.p12", "truststore.jks"})
"""Files with a password, which nothing here ever reads: what they hold can't be verified."""
FURTHER_KEYS = COMPARED_KEYS | KEYSTORES
