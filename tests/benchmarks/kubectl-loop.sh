#!/usr/bin/env bash
# What a CronJob does without tls-sync. Reads "certificate cluster namespace" lines, and for each one gets the
# Secret from OPS, takes off what belongs to the original, and applies the rest to the target. It goes with tls-sync's
# credential, so it sets the label that the admission policy asks for.
set -euo pipefail

while read -r certificate cluster namespace; do
  "$KUBECTL" --context cluster-ops --namespace certificates-ops get secret "$certificate" --output yaml |
    sed -E -e '/^  (namespace|uid|resourceVersion|creationTimestamp):/d' \
      -e '/^  labels:/a\    app.kubernetes.io/managed-by: tls-sync' |
    "$KUBECTL" --context "cluster-$cluster" --namespace "$namespace" apply --filename - >/dev/null
done
