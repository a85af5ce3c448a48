"""What a command puts in force for everybody at once: rollbacks, freezes, drills."""
