"""Take batches through phases and steps."""
