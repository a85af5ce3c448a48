"""What somebody puts in force by one command, for everybody at once: rollbacks, freezes, drills."""
