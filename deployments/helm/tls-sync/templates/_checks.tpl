{{/* Checks that the schema can't make, or can't explain. */}}
{{- define "tls-sync.checks" -}}
{{- if not .Values.tlsSync.config }}
{{- fail "\n\ntlsSync.config is empty: it says which certificate is copied where. Put the content of your tls-sync.yaml there (deployments/tls-sync.yaml explains each key), e.g.\n  helm install tls-sync deployments/helm/tls-sync -n tls-sync --create-namespace -f values.yaml\n" }}
{{- else }}
{{- include "tls-sync.configCheck" . }}
{{- end }}
{{- include "tls-sync.imageCheck" . }}
{{- include "tls-sync.podChecks" . }}
{{- $fields := list }}
{{- range list "[0-5]?[0-9]" "([01]?[0-9]|2[0-3])" "(0?[1-9]|[12][0-9]|3[01])" "(0?[1-9]|1[0-2])" "[0-7]" }}
{{- $field := printf "(\\*|%s|[a-zA-Z]{3})(-(%s|[a-zA-Z]{3}))?(/[0-9]{1,2})?" . . }}
{{- $fields = append $fields (printf "%s(,%s)*" $field $field) }}
{{- end }}
{{- range $key, $cron := dict "tlsSync.schedule" .Values.tlsSync.schedule "tlsSync.verify.schedule" .Values.tlsSync.verify.schedule }}
{{- if not (regexMatch (printf "^%s$" (join " " $fields)) $cron) }}
{{- fail (printf "\n\n%s %q is not a cron expression: five fields (minute hour day month weekday), one space between them, each number in its range, e.g. \"0 * * * *\"\n" $key $cron) }}
{{- end }}
{{- end }}
{{- if and .Values.prefect.server.enabled .Values.prefect.apiUrl }}
{{- fail "\n\nprefect.apiUrl names an existing server, and prefect.server.enabled creates one: set prefect.server.enabled=false, or leave prefect.apiUrl empty\n" }}
{{- end }}
{{- if not (or .Values.prefect.server.enabled .Values.prefect.apiUrl) }}
{{- fail "\n\nno Prefect server: set prefect.apiUrl to the address of yours (http://<host>:4200/api), or prefect.server.enabled=true\n" }}
{{- end }}
{{- if and (((.Values.prefect.server).database).urlSecret).name (not .Values.prefect.server.enabled) }}
{{- fail "\n\nprefect.server.database is for the server of this chart, and prefect.server.enabled is false: an existing server has a database of its own\n" }}
{{- end }}
{{- if and .Values.prefect.apiKeySecret.name .Values.prefect.authSecret.name }}
{{- fail "\n\nprefect.apiKeySecret is for Prefect Cloud, prefect.authSecret for your own server: set one of them\n" }}
{{- end }}
{{- if and .Values.prefect.apiKeySecret.name .Values.prefect.server.enabled }}
{{- fail "\n\nprefect.apiKeySecret is for Prefect Cloud; for the server of this chart set prefect.authSecret\n" }}
{{- end }}
{{- include "tls-sync.passwordCheck" . }}
{{- include "tls-sync.exposureCheck" . }}
{{- with .Values.networkPolicy.egress }}
{{- if .enabled }}
{{- if not .apiServer }}
{{- fail "\n\nnetworkPolicy.egress.apiServer is empty: list the addresses of this cluster's API server (kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes)\n" }}
{{- end }}
{{- if not .targets }}
{{- fail "\n\nnetworkPolicy.egress.targets is empty: list the addresses of the targets' API servers, as in the kubeconfig\n" }}
{{- end }}
{{- if and (eq (toString (($.Values.tlsSync.config).waves).verify) "served") (not .served) }}
{{- fail "\n\nnetworkPolicy.egress.served is empty: waves.verify is served, so list the addresses under `served` of the routes\n" }}
{{- end }}
{{- if and $.Values.metrics.pushgateway.url (not .pushgateway.to) }}
{{- fail "\n\nnetworkPolicy.egress.pushgateway.to is empty: list the peers that metrics.pushgateway.url leads to, e.g. [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]\n" }}
{{- end }}
{{- if and ((($.Values.prefect.server).database).urlSecret).name (not .database) }}
{{- fail "\n\nnetworkPolicy.egress.database is empty: list the addresses of the PostgreSQL that prefect.server.database names\n" }}
{{- end }}
{{- if not (or $.Values.prefect.server.enabled .prefect) }}
{{- fail "\n\nnetworkPolicy.egress.prefect is empty: list the addresses of the server at prefect.apiUrl\n" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What is valid on a workstation, or only for the schema, and not in a release. */}}
{{- define "tls-sync.configCheck" -}}
{{- $owner := toString .Values.tlsSync.config.owner }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $owner) }}
{{- fail (printf "\n\ntlsSync.config.owner %q is not a name: it is stamped on every copy, and says whose it is. Set one of lower-case letters, digits and dashes, e.g. ops, and keep it: copies of another owner are refused\n" $owner) }}
{{- end }}
{{- $context := (.Values.tlsSync.config.source).context }}
{{- if and $context .Values.tlsSync.sourceRole }}
{{- fail (printf "\n\ntlsSync.config.source.context %q is for runs outside of OPS: those of the chart read OPS with the account of their pod, for which it makes a Role. Remove source.context; or, if they are to read another cluster with that context of the kubeconfig, set tlsSync.sourceRole=false\n" $context) }}
{{- end }}
{{- end }}

{{/* The default name is in no registry, and its pods would wait for it until Helm gives up. An upgrade has it already. */}}
{{- define "tls-sync.imageCheck" -}}
{{- with .Values.image }}
{{- if and $.Release.IsInstall (eq .repository "tls-sync") (ne .pullPolicy "Never") }}
{{- fail "\n\nimage.repository is tls-sync, which no registry has: build the image, push it to yours (docs/operations.md, Install) and name it there, e.g. registry.example.org/tls-sync. Where each node has the image already, set image.pullPolicy=Never\n" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Prefect has a password, or the values say explicitly that it has none. */}}
{{- define "tls-sync.passwordCheck" -}}
{{- $given := or .Values.prefect.authSecret.name .Values.prefect.apiKeySecret.name }}
{{- if and $given .Values.prefect.insecureNoPassword }}
{{- fail "\n\nprefect.insecureNoPassword says that Prefect has no password, and prefect.authSecret or prefect.apiKeySecret names one: set one of them\n" }}
{{- end }}
{{- if not (or $given .Values.prefect.insecureNoPassword) }}
{{- $what := .Release.IsUpgrade | ternary "the Prefect server of this release has no password" "Prefect has no password" }}
{{- $make := "printf 'admin:%s' \"$(openssl rand -hex 24)\"" }}
{{- $remedy := "create one and set prefect.authSecret.name=tls-sync-prefect" }}
{{- if not .Values.prefect.server.enabled }}
{{- $what = "neither prefect.authSecret nor prefect.apiKeySecret says how to log in at prefect.apiUrl" }}
{{- $make = "printf '%s' '<user>:<password>'" }}
{{- $remedy = "put the server's user and password into a Secret and set prefect.authSecret.name=tls-sync-prefect (for Prefect Cloud its API key: prefect.apiKeySecret.name)" }}
{{- end }}
{{- fail (printf "\n\n%s, and without a password any web page that is open in an operator's browser can start runs with its own command: %s, or set prefect.insecureNoPassword=true\n  %s | kubectl -n %s create secret generic tls-sync-prefect --from-file=auth-string=/dev/stdin\n" $what $remedy $make .Release.Namespace) }}
{{- end }}
{{- end }}

{{/* The UI is open to others only with a password, over TLS, and where the network policy lets them in. */}}
{{- define "tls-sync.exposureCheck" -}}
{{- $server := .Values.prefect.server }}
{{- $ingress := $server.ingress | default dict }}
{{- $route := $server.httpRoute | default dict }}
{{- if and $ingress.enabled $route.enabled }}
{{- fail "\n\nprefect.server.ingress and prefect.server.httpRoute are both enabled, and do the same: enable one of them\n" }}
{{- end }}
{{- if or $ingress.enabled $route.enabled }}
{{- $which := $ingress.enabled | ternary "prefect.server.ingress" "prefect.server.httpRoute" }}
{{- if not $server.enabled }}
{{- fail (printf "\n\n%s is for the server of this chart, and prefect.server.enabled is false: an existing server has an address of its own, prefect.apiUrl\n" $which) }}
{{- end }}
{{- if .Values.prefect.insecureNoPassword }}
{{- fail (printf "\n\n%s would let everybody who reaches it run code with tls-sync's credentials, since prefect.insecureNoPassword says that there is no password: set prefect.authSecret.name\n" $which) }}
{{- end }}
{{- if and $ingress.enabled (not $ingress.host) }}
{{- fail "\n\nprefect.server.ingress.host is empty: set the DNS name of the UI, e.g. prefect.example.org\n" }}
{{- end }}
{{- if and $route.enabled (not (and $route.parentRefs $route.hostnames)) }}
{{- fail "\n\nprefect.server.httpRoute needs parentRefs and hostnames: name a listener with HTTPS of your Gateway, e.g. parentRefs: [{name: gateway, namespace: gateway-system, sectionName: https}], and the DNS name of the UI, e.g. hostnames: [prefect.example.org]\n" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.serverFrom) }}
{{- fail (printf "\n\n%s is enabled, and networkPolicy.serverFrom is empty, so no controller reaches the server: list where its pods are, e.g. [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]\n" $which) }}
{{- end }}
{{- end }}
{{- $watch := .Values.watch | default dict }}
{{- if and ($watch.podMonitor).enabled ($watch.serviceMonitor).enabled }}
{{- fail "\n\nwatch.podMonitor and watch.serviceMonitor are both enabled, and Prometheus would scrape each watcher twice: enable one of them\n" }}
{{- end }}
{{- end }}
