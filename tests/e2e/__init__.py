"""The chart on a real node: `make e2e` runs these tests as root, in the order of the files' names.

Beside the tests: machine (OPS with a node, three targets, the image loaded), release (the chart, installed
by Helm), prefect_api (what Prefect knows), witness (a run's pod while it lives), browser (Chromium), and
__main__, which fetches what takes minutes, with progress.
"""
