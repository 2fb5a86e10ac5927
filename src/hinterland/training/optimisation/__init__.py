"""Step the weights: optimisers, named recipes, averages, the pace of a phase."""
