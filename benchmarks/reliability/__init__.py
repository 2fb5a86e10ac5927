"""Reliability: what people's files, disks and hands do."""
