"""Run by interpreters of other environments, never imported by Hinterland."""
