"""Loop IR: buffers and loops, no values; explicit tiles, registers and vectors."""
