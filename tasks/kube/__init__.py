"""Talks to one Kubernetes API server: requests, their limits and deadlines, and the answers, checked."""
