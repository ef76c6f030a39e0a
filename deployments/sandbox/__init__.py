"""Real API servers on loopback, for the demo, the tests and the benchmarks.

Nothing here imports tasks/, so that it can also be the independent witness of what these did; flow_run.py and
serve.py import flows/, which they run.
"""
