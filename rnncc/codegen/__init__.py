"""From scheduled loop IR to LLVM IR, and from there to machine code."""
