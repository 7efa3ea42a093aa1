"""Recipes: a frozen config and one page around TRL's trainer, for each method."""
