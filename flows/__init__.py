"""The flows and commands. Start reading at tls_sync.py."""
