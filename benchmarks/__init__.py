"""Benchmarks: one runner, resumable run by run; RESULTS.md is made from what the runs wrote."""
