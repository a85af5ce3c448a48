"""What is decided, and in which words: values in, values out; no file, no clock, no log."""
