//go:build tools

// Package tools pins the Argo CD that the tests on a real node build.
package tools

import _ "github.com/argoproj/argo-cd/v3/cmd"
