"""Evaluations: play a suite with a model, measure its episodes, compare, report."""
