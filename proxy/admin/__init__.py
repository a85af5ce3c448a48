"""What control offers over HTTP: liveness, readiness, metrics."""
