#!/usr/bin/env bash
# What somebody who knows kubectl writes in place of tls-sync. Reads "certificate cluster namespace" lines, gets all
# Secrets of OPS once, and sends each cluster what it needs with one server-side apply per namespace, the clusters side
# by side. It goes with tls-sync's credential, so it sets the label that the admission policy asks for.
set -euo pipefail

# One line per Secret: its name, a tab, and a manifest in YAML's flow style, which allows the last comma.
template='{{range .items}}{{.metadata.name}}{{"\t"}}{apiVersion: v1, kind: Secret, type: {{.type}}, metadata: {name: {{
.metadata.name}}, labels: {app.kubernetes.io/managed-by: tls-sync}}, data: { {{range $key, $value := .data}}{{$key}}: {{
$value}}, {{end}} }}{{"\n"}}{{end}}'

wanted=$(cat)
secrets=$("$KUBECTL" --context cluster-ops --namespace certificates-ops get secrets \
  --field-selector type=kubernetes.io/tls --output go-template="$template")

serve() {
  for namespace in $(awk -v cluster="$1" '$2 == cluster { print $3 }' <<<"$wanted" | sort -u); do
    awk -v cluster="$1" -v namespace="$namespace" \
      'NR == FNR { if ($2 == cluster && $3 == namespace) want[$1]; next }
       $1 in want { sub(/^[^\t]*\t/, ""); print "---"; print }' <(echo "$wanted") <(echo "$secrets") |
      "$KUBECTL" --context "cluster-$1" --namespace "$namespace" apply --server-side --filename - >/dev/null
  done
}

for cluster in $(awk '{ print $2 }' <<<"$wanted" | sort -u); do
  serve "$cluster" &
  serving+=($!)
done
for one in "${serving[@]}"; do wait "$one"; done
