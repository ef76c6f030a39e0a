"""Which certificate is where, until when, and whether it is the right one."""
