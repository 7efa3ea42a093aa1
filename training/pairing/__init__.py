"""Preference pairs: where they come from, where two branches part, and which contradict each other."""
