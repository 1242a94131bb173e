"""The command line: looking into a compilation, and finding out which pass is wrong."""
