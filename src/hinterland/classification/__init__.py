"""From masks and scores to image labels: pure functions and small value types."""
