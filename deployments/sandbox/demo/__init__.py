"""The guided tour (make demo) and the playground (make sandbox)."""
