"""Flags, as flagd understands them, lowered to what is asked for each request."""
