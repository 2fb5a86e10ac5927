"""The layers and shapes of the networks; `networks.registry` has them by name."""
