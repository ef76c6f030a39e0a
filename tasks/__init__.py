"""What tls-sync knows and does, one module per role.

Pure, nouns: models, reasons, errors, order, view. Pure, rules: names, config_rules, candidate, checks,
ownership, plan, answers, attempts, retry. Pure, texts: report, terminal, markdown.
I/O: yaml_file, config (one read), kubeconfig, cluster (the only one that talks to a Kubernetes API), memory.
Plain functions over these: inventory (reads OPS), delivery (brings one cluster in sync), writer (its writes).
Prefect's shells: collect, sync.
"""
