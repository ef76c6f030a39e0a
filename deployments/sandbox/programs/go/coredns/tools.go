//go:build tools

// Package tools pins the CoreDNS that the tests on a real node build.
package tools

import _ "github.com/coredns/coredns"
