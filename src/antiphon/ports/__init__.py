"""What the engine needs of the world: Protocols with written contracts."""
