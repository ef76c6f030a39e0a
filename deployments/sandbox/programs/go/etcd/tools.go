//go:build tools

// Package tools pins the etcd that the sandbox builds where no ready binary is at hand.
package tools

import _ "go.etcd.io/etcd/server/v3/etcdmain"
