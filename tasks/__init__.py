"""What tls-sync knows and does, one module per role.

Pure, nouns: models, reasons, errors, order, view, rights, readiness, placement, families. Pure, rules: names,
config_rules, limits, refusal, silence, der, key_kinds, private_key, candidate, chain, checks, ownership,
plan, answers, attempts, retry, credentials, kubeconfig_context, diagnosis, servers, appraisal, samples,
events, waves, absence, prune, fleet, sharing, recall, expiry, issuance, unrouted.
Pure, texts: report, room, terminal, markdown, checklist, findings, survey_text, survey_json, survey_page,
page_style, timeline, history, fleet_report.
I/O: files, yaml_file, config (one read), client (the library for Kubernetes, as far as we use it),
kubeconfig, authentication (its users), exec_plugin, cluster (the only one that talks to a Kubernetes API),
calls (made, and their answers checked), transport (how requests travel), tls (verified, and read by nobody),
pace (when the next may go), watchdog (ends them), resolver (looks up names, and connects), stopping (ends
all), tally (counts them), metrics (for Prometheus), pushgateway (takes them there), process, log (without
tracebacks), imports (left out, or put off), connections (clients, kept warm where a process lives long),
ending (a command's last words), arguments (its options), handshake (which certificate an address serves).
Plain functions over these: inventory (reads OPS), delivery (brings one cluster in sync), identity (whether it
is the right one), cluster_ids (of a kubeconfig), copies (looks into one), writer (all writes of a plan),
sender (one of them), brake (when enough has failed), preflight (whether runs can work at all), survey
(which certificate is where), pruner (deletes what is long gone from OPS).
Of the watcher: watch (what changes on OPS), triggers (gathered), react (brings it to the clusters), lease
(who of several acts), liveness (said over HTTP).
Prefect's shells: collect, sync, fan_out (tasks side by side), pruning, runners (threads, Dask or Ray),
attendance (what a run waits for that workers bring), elsewhere (what a task is given on a worker).
"""
