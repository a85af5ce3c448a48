"""The side that backends are on: endpoints, their connections, who may ask them, and who has to wait."""
