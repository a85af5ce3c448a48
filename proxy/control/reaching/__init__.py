"""Names and probes: where endpoints are, and whether they answer."""
