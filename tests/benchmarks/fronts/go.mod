module github.com/tls-sync/fronts

go 1.25
