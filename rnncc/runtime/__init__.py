"""Machine code in this process: loading it, binding weights, calling it."""
