"""rnncc: a computation-graph compiler for recurrent neural networks."""
