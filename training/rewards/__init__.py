"""Rewards: pure functions over a finished episode, composed by weights."""
