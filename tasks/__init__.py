"""What tls-sync knows and does, one module per role.

Pure: models, reasons, errors, pem, checks, config, ownership, plan, report.
I/O: kubeconfig, cluster (the only one that talks to a Kubernetes API).
Plain functions over both: inventory (reads the source), delivery (brings one cluster in sync).
Prefect: collect, sync.
"""
