"""What control tells people and scripts: status, metrics, why a request goes where it goes."""
