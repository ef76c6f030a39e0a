{{/*
What the values of a component say of its pods: $defs/PodOptions of values.schema.json. The components are worker,
tlsSync (a run), watch, prefect.server and hook; hook is also for the clean-up of results.
*/}}

{{/* Labels and annotations. "of" are the component's values, "annotations" those that the chart sets itself. */}}
{{- define "tls-sync.podMetadata" -}}
{{- $of := .of | default dict }}
labels:
  {{- include "tls-sync.labels" (dict "root" .root "component" .component "more" $of.podLabels) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) ($of.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The fields of a pod's spec that say where it may run. What has no value is left out. */}}
{{- define "tls-sync.podPlacement" -}}
{{- $of := . | default dict }}
{{- $given := dict }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with index $of $field }}
{{- $_ := set $given $field . }}
{{- end }}
{{- end }}
{{- with $given }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Of a component's values: extraEnv, extraVolumes or extraVolumeMounts, for the list of that kind. */}}
{{- define "tls-sync.extra" -}}
{{- with index (first . | default dict) (last .) }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "tls-sync.accountAnnotations" -}}
{{- with ((. | default dict).serviceAccount).annotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Applies them to the pod of a run: "template" is that of files/work-pool.json, and is changed. */}}
{{- define "tls-sync.runOptions" -}}
{{- $of := .root.Values.tlsSync }}
{{- $metadata := include "tls-sync.podMetadata" (dict "root" .root "component" "run" "of" $of) | fromYaml }}
{{- $_ := set .template "metadata" (merge .template.metadata $metadata) }}
{{- $_ := set .template "spec" (merge .template.spec (include "tls-sync.podPlacement" $of | fromYaml)) }}
{{- $container := index .template.spec.containers 0 }}
{{- $_ := set $container "env" (concat $container.env ($of.extraEnv | default list)) }}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts ($of.extraVolumeMounts | default list)) }}
{{- $_ := set .template.spec "volumes" (concat .template.spec.volumes ($of.extraVolumes | default list)) }}
{{- end }}

{{/* Refuses what would replace something of the chart, at the component whose values' key is "key". */}}
{{- define "tls-sync.optionsCheck" -}}
{{- $key := .key }}
{{- include "tls-sync.labelCheck" (dict "key" (printf "%s.podLabels" $key) "labels" .of.podLabels) }}
{{- range $one := .of.extraEnv }}
{{- if regexMatch "^(KUBECONFIG$|TLS_SYNC_|PREFECT_|PYTHON)" $one.name }}
{{- fail (printf "\n\n%s.extraEnv may not set %s: KUBECONFIG, TLS_SYNC_*, PREFECT_* and PYTHON* are the chart's, and decide what runs and with which rights. Remove it, and look for a value of the chart\n" $key $one.name) }}
{{- end }}
{{- end }}
{{- range $one := keys (.of.podAnnotations | default dict) ((.of.serviceAccount).annotations | default dict) }}
{{- if regexMatch "^(tls-sync\\.io/|helm\\.sh/hook|argocd\\.argoproj\\.io/hook)" $one }}
{{- fail (printf "\n\n%s may not have the annotation %s, which is the chart's: remove it\n" $key $one) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tls-sync.volumesCheck" -}}
{{- $key := .key }}
{{- $volumes := list }}
{{- range $one := .of.extraVolumes }}
{{- if has $one.name (list "tmp" "config" "kubeconfig" "registration" "results" "data") }}
{{- fail (printf "\n\n%s.extraVolumes may not have the name %s, which a volume of the chart has: take another one\n" $key $one.name) }}
{{- end }}
{{- $volumes = append $volumes $one.name }}
{{- end }}
{{- range $one := .of.extraVolumeMounts }}
{{- if not (has $one.name $volumes) }}
{{- fail (printf "\n\n%s.extraVolumeMounts names the volume %s, and %s.extraVolumes has none of that name\n" $key $one.name $key) }}
{{- end }}
{{- if regexMatch "^/+(|etc|opt|tmp|var|var/lib|(opt/(venv|tls-sync)|etc/tls-sync(-[a-z]+)?|var/lib/(tls-sync|prefect))(/.*)?)/*$" $one.mountPath }}
{{- fail (printf "\n\n%s.extraVolumeMounts may not be at %s, where the chart or the image has files of its own: take another folder, e.g. /mnt/%s\n" $key $one.mountPath $one.name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tls-sync.labelCheck" -}}
{{- range $label, $_ := .labels }}
{{- if regexMatch "^(app$|app\\.kubernetes\\.io/|helm\\.sh/|prefect\\.io/|tls-sync\\.io/)" $label }}
{{- fail (printf "\n\n%s may not have the label %s, by which tls-sync, Prefect or Helm find their objects: take another name\n" $.key $label) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tls-sync.podChecks" -}}
{{- include "tls-sync.labelCheck" (dict "key" "commonLabels" "labels" .Values.commonLabels) }}
{{- range $key, $of := dict "tlsSync" .Values.tlsSync "worker" .Values.worker "watch" .Values.watch "prefect.server" .Values.prefect.server "hook" .Values.hook }}
{{- include "tls-sync.optionsCheck" (dict "key" $key "of" $of) }}
{{- include "tls-sync.volumesCheck" (dict "key" $key "of" $of) }}
{{- end }}
{{- range $field := list "tolerations" "affinity" "nodeSelector" "topologySpreadConstraints" "podLabels" "podAnnotations" "extraEnv" "extraVolumes" "extraVolumeMounts" }}
{{- if contains "{{" (index $.Values.tlsSync $field | toJson) }}
{{- fail (printf "\n\ntlsSync.%s has {{, which Prefect replaces in the template of a run's pod: remove it\n" $field) }}
{{- end }}
{{- end }}
{{- end }}
