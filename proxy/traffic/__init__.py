"""What a worker does: bytes in flight."""
