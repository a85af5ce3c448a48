"""What routes.yaml says of the two systems."""
