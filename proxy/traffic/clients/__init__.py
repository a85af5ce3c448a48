"""The side that clients are on: how they come in, how many, how they ask, how they leave."""
