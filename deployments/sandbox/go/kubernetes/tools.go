//go:build tools

// Package tools pins the Kubernetes programs that the sandbox builds where no ready binary is at hand.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
