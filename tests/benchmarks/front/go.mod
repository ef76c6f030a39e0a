module github.com/tls-sync/front

go 1.25
