"""What is measured on a GPU: a step of each method, step times, and benchmarks."""
