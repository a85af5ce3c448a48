"""Processes, and what they share: the supervisor and its children, mapped pages, and who follows what stands on them."""
