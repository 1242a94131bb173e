"""Graph IR: values without memory, one flat node list, and `scan` as the only loop."""
