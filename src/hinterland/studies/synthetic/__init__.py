"""Classifier against segmentation on synthetic images."""
