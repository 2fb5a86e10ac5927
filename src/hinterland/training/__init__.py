"""The only room that knows Lightning: configuration, data module, engine, run."""
