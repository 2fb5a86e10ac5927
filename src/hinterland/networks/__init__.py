"""Networks that take integers, never class names."""
