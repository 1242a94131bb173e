"""`rnncc bench`: workloads timed against every installed peer in one run, and against what this machine can do."""
