"""Measures tls-sync on real API servers, beside a minimal client and a kubectl loop.

parts.py lists the parts, sizes.py says how much each measures, page.py brings the figures into docs/.

Times depend on the machine, so each is taken in turn with that of something else, and their ratio counts. No
time is asserted: the table shows a demand that is not met.
"""
