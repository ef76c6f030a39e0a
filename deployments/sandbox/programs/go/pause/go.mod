module tls-sync/sandbox/pause

go 1.26.0
