"""How a run is doing, read from its folder while it trains and afterwards."""
