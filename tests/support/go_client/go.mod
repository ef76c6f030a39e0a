module tls-sync/tests/go-client

go 1.26.0
