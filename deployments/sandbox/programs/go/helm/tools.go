//go:build tools

// Package tools pins the Helm that the tests on a real node build.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
