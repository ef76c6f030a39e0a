"""What is deployed, and the sandbox to try it in.

Only `deployments.sandbox` is Python code; the rest is read by Prefect, Helm, Argo CD and people.
"""
