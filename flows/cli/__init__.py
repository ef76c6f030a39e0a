"""The command `tls-sync`: its verbs, their options and help. What each does is in flows/commands/."""
