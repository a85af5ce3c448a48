"""Who asks, which route is theirs, and which of the two systems answers."""
