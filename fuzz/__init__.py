"""The fuzzers: hostile bytes in both directions of a running proxy, and into everything that reads; not part of the product."""
