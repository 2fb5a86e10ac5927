"""Plots as inline SVG: which ones, how they are drawn, and how they follow the page."""
