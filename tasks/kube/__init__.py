"""Sends requests to one Kubernetes API server, with limits and deadlines, and checks its responses."""
