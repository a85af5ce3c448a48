"""A flag changed by a command: whom it moves, and the edit of a user's file."""
