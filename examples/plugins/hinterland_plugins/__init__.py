"""Add seven things to Hinterland from outside, each in one file."""
