"""What Prometheus reads: definitions, samples, and the way to a Pushgateway."""
