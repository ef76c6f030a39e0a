"""The chart's hooks, which run from the image: `python -m deployments.hook wait | register | remove`.

wait (before the worker) waits until Prefect's API answers. register (after install and upgrade) checks the
configuration and the kubeconfig, then creates or updates work pool, deployments and schedule. remove (before
uninstall) deletes these and cancels runs. Each ends in bounded time, on failure with a sentence for people
(but Prefect's client repeats a request for as long as Prefect Cloud announces maintenance).
"""
