"""The three Prefect tasks: collect what OPS has, sync one cluster, prune one. The packages have what they do.

Each package says in its docstring what it is about; docs/ and README name the ones to start with.
"""
