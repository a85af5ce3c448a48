"""What becomes known of the traffic: log, counts, times, traces."""
