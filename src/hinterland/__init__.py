"""Hinterland: medical image segmentation in which labels have structure."""

__version__ = "0.1.0"
