"""What routes.yaml says of how clients are met, and of what they and operators get to see."""
