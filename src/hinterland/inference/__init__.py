"""Sliding window, volumes, export."""
