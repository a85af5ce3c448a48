"""The proxies that are compared, each set up as its own users would for the same job."""
