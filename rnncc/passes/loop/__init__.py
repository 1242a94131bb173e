"""Loop passes: one file a pass, from a procedure to an equivalent procedure."""
