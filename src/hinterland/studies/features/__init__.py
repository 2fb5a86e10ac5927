"""Feature maps of a trained run: L_fd by case and layer, its weights, what it has moved."""
