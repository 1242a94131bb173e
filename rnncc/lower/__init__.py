"""From graph IR to loop IR."""
