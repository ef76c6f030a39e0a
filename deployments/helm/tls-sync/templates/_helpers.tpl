{{/*
In the release's namespace, all releases use the same names, which people and guides know: so a namespace has one
release. Objects outside of it have the release's namespace and name in their names, so that releases do not conflict.
Neither a namespace nor a release's name can contain a colon.
*/}}

{{- define "tls-sync.ofRelease" -}}
{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end }}

{{- define "tls-sync.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object: "more" are those of one object, which may replace them. Never used to select. */}}
{{- define "tls-sync.labels" -}}
{{- $ours := include "tls-sync.selector" . | fromYaml }}
{{- $_ := set $ours "app.kubernetes.io/name" "tls-sync" }}
{{- $_ := set $ours "app.kubernetes.io/part-of" "tls-sync" }}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $_ := set $ours "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- toYaml (merge (dict) (.more | default dict) $ours (.root.Values.commonLabels | default dict)) }}
{{- end }}

{{- define "tls-sync.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "tls-sync.apiUrl" -}}
{{- if .Values.prefect.server.enabled -}}
http://tls-sync-server.{{ .Release.Namespace }}.svc:4200/api
{{- else -}}
{{ .Values.prefect.apiUrl }}
{{- end -}}
{{- end }}

{{/* The DNS name at which others reach the release's server; empty where only kubectl port-forward does. */}}
{{- define "tls-sync.host" -}}
{{- with .Values.prefect.server }}
{{- if (.ingress).enabled }}{{ .ingress.host }}{{ else if (.httpRoute).enabled }}{{ first .httpRoute.hostnames }}{{ end }}
{{- end }}
{{- end }}

{{/* The address of Prefect's API and its credentials: by reference, never by value. */}}
{{- define "tls-sync.prefectEnv" -}}
- name: PREFECT_API_URL
  value: {{ include "tls-sync.apiUrl" . | quote }}
{{- with .Values.prefect.apiKeySecret }}
{{- if .name }}
- name: PREFECT_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- with .Values.prefect.authSecret }}
{{- if .name }}
- name: PREFECT_API_AUTH_STRING
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tls-sync.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tls-sync.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "tls-sync.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tls-sync.container" -}}
image: {{ include "tls-sync.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "tls-sync.containerSecurity" . | nindent 2 }}
{{- end }}

{{- define "tls-sync.resultsClaim" -}}
{{ .Values.results.persistence.existingClaim | default "tls-sync-results" }}
{{- end }}

{{/* The claim for results that the chart makes; empty if it makes none. */}}
{{- define "tls-sync.ownResultsClaim" -}}
{{- with .Values.results.persistence }}
{{- if and .enabled (not .existingClaim) }}tls-sync-results{{ end }}
{{- end }}
{{- end }}

{{/* files/work-pool.json with the values applied. The file alone is the pool of a release with default values. */}}
{{- define "tls-sync.workPool" -}}
{{- $pool := .Files.Get "files/work-pool.json" | fromJson }}
{{- $job := $pool.job_configuration.job_manifest }}
{{- $pod := $job.spec.template.spec }}
{{- $container := index $pod.containers 0 }}
{{- $_ := set $pool.job_configuration "namespace" .Release.Namespace }}
{{- $_ := set $job.metadata "namespace" .Release.Namespace }}
{{- $labels := include "tls-sync.labels" (dict "root" . "component" "run") | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" "prefect" }}
{{- range list $job.metadata $job.spec.template.metadata }}
{{- $_ := set . "labels" (merge (dict) $labels .labels) }}
{{- end }}
{{- /* Prefect's worker sets these two to its own, unless they are in this place, too. */}}
{{- $_ := set $pool.job_configuration "labels" (pick $labels "app.kubernetes.io/part-of" "app.kubernetes.io/version") }}
{{- $_ := set $job.spec "activeDeadlineSeconds" (int .Values.tlsSync.deadlineSeconds) }}
{{- $_ := set $job.spec "ttlSecondsAfterFinished" (int .Values.tlsSync.keepJobsSeconds) }}
{{- if eq (toString .Values.tlsSync.oneProcess) "false" }}
{{- $_ := set $pool.job_configuration "command" "prefect flow-run execute" }}
{{- $_ := set $container "args" (list "prefect" "flow-run" "execute") }}
{{- end }}
{{- $_ := set $container "image" (include "tls-sync.image" .) }}
{{- $_ := set $container "imagePullPolicy" .Values.image.pullPolicy }}
{{- if .Values.image.pullSecrets }}
{{- $names := list }}
{{- range .Values.image.pullSecrets }}
{{- $names = append $names (dict "name" .) }}
{{- end }}
{{- $_ := set $pod "imagePullSecrets" $names }}
{{- end }}
{{- /* Optional, since metrics must not fail a run: without the password the push fails, and is reported. */}}
{{- with .Values.metrics.pushgateway }}
{{- if .url }}
{{- $env := append $container.env (dict "name" "TLS_SYNC_PUSHGATEWAY" "value" .url) }}
{{- if .authSecret.name }}
{{- $from := dict "secretKeyRef" (dict "name" .authSecret.name "key" .authSecret.key "optional" true) }}
{{- $env = append $env (dict "name" "TLS_SYNC_PUSHGATEWAY_AUTH" "valueFrom" $from) }}
{{- end }}
{{- if .ca.configMap }}
{{- $from := dict "configMapKeyRef" (dict "name" .ca.configMap "key" .ca.key "optional" true) }}
{{- $env = append $env (dict "name" "TLS_SYNC_PUSHGATEWAY_CA" "valueFrom" $from) }}
{{- end }}
{{- $_ := set $container "env" $env }}
{{- end }}
{{- end }}
{{- range $pod.volumes }}
{{- if eq .name "kubeconfig" }}
{{- $_ := set .secret "secretName" $.Values.tlsSync.kubeconfigSecret }}
{{- else if and (eq .name "results") $.Values.results.persistence.enabled }}
{{- $_ := unset . "emptyDir" }}
{{- $_ := set . "persistentVolumeClaim" (dict "claimName" (include "tls-sync.resultsClaim" $)) }}
{{- end }}
{{- end }}
{{- include "tls-sync.runOptions" (dict "root" . "template" $job.spec.template) }}
{{- $variables := $pool.variables.properties }}
{{- $_ := set $variables.log_level "default" .Values.tlsSync.logLevel }}
{{- $_ := set $variables.cpu_request "default" (toString .Values.tlsSync.resources.requests.cpu) }}
{{- $_ := set $variables.memory_request "default" (toString .Values.tlsSync.resources.requests.memory) }}
{{- $_ := set $variables.cpu_limit "default" (toString .Values.tlsSync.resources.limits.cpu) }}
{{- $_ := set $variables.memory_limit "default" (toString .Values.tlsSync.resources.limits.memory) }}
{{- toPrettyJson $pool }}
{{- end }}
