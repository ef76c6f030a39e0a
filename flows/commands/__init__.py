"""What the verbs of `tls-sync` do, one module each; their options are in flows/cli/."""

import os

# Where PREFECT_API_URL names no server, Prefect starts one for a command; on a small machine that takes 40 s.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
