"""A world that others wrote: the verifiable tasks of reasoning-gym, played by an agent with a calculator."""
