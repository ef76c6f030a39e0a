"""The flows. Start with tls_sync.py."""
