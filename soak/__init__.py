"""Hours in minutes: a real proxy under mixed traffic while everything goes wrong, judged by an oracle that knows every request."""
