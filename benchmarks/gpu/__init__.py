"""What is measured on a GPU: every method's step, step times, and benchmarks within some minutes."""
