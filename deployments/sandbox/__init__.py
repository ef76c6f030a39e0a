"""Real API servers on loopback, for the demo, the tests and the benchmarks.

It imports nothing from tasks/ or flows/, so that it can also be the independent witness of what these did.
"""
