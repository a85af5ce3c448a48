"""`make bench`: what the proxy costs per request, beside nginx doing the same job in the same run."""
