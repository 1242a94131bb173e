"""Passes over the graph IR. Name of the pass = file = function = folder of its golden tests."""
