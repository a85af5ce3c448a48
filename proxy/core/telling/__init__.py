"""What is counted, noted and called by a name, for people and for other processes."""
