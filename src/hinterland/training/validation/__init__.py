"""Judge networks while they train, and choose checkpoints."""
