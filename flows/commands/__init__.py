"""What the verbs of `tls-sync` do, one module each; their options are in flows/cli/."""
