"""Whole studies: several runs and what they say together."""
