"""Parses and calls."""
