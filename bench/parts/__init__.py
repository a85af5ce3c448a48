"""What is measured, one module a part: `run(options)` gives the section of the results."""
