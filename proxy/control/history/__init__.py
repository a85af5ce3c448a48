"""The journal: what it is made of, where it stands, and who writes into it."""
