"""Real API servers on loopback, for the demo, the tests and the benchmarks.

Nothing here imports tasks/, so that the sandbox can check independently what tls-sync did. Only flow_run.py
and serve.py import flows/, which they run.
"""
