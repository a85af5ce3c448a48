"""Between the two: a request and its answer, or the tunnel that comes of it, from the first byte to the last."""
