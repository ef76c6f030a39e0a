"""What Prefect adds to the work: task options, fan-out, task runners, publication of reports."""
