"""Add support labels from masks, models and foreign tools; docs/support-labels.md explains it."""
