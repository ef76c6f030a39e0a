"""What the chart's hooks do, from the image: `python -m deployments.hook wait | register | remove`.

wait (before the worker): until Prefect's API answers. register (after install and upgrade): checks what the
chart was given, then creates or updates work pool, deployments and schedule. remove (before uninstall): takes
these away again and ends runs under way. All three end in bounded time with a sentence for people.
"""
