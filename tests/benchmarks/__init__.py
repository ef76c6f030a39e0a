"""`python -m tests.benchmarks`: tls-sync beside the floor and beside a kubectl loop, on real API servers.

And how it grows: parts.py has the parts, sizes.py how much each measures, page.py writes docs/performance.md.

A time says little on a machine that is not yours, so each is measured side by side with something else in the
same minutes, and their ratio is what counts. No time is asserted: a demand that's not met is printed as such.
"""
