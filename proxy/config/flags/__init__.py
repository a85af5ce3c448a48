"""Flag files: their shape, what they say, what is wrong in them, and how they are edited."""
