//go:build tools

// Package tools pins pebble, the small ACME server of Let's Encrypt for tests.
package tools

import _ "github.com/letsencrypt/pebble/v2/cmd/pebble"
