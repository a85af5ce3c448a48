"""`strangler demo`: two small shops that look different, and the proxy in front of them."""
