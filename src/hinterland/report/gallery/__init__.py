"""Slices of the cases that differ most, with contours."""
