module github.com/tls-sync/floor

go 1.25
