"""routes.yaml: its keys, and what it says of areas, accounts and who is asking."""
