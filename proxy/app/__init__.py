"""Where the parts are put together, a module for each process."""
