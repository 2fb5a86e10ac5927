"""Recipes: which coarsenings the losses see. No files, no Lightning."""
