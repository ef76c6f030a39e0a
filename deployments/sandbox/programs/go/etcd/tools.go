//go:build tools

// Package tools pins the etcd that the sandbox builds where no binary is available.
package tools

import _ "go.etcd.io/etcd/server/v3/etcdmain"
