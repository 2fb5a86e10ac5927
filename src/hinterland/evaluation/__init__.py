"""Metrics, empty-mask table, lesions, statistics, report."""
