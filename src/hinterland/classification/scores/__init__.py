"""Statistics of scores and labels: pure functions, no files."""
