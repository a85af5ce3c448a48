"""Files to a plan, or every problem with its place and its remedy."""
