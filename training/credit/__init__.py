"""Credit: how much of an episode's reward each turn deserves."""
