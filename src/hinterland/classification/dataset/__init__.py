"""Tasks, cases and data sets with image labels."""
