"""`make prove`: the figures that this project promises, measured here and now, printed as tables."""
