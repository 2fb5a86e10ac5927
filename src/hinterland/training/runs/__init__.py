"""Describe, launch, record and finish a run."""
