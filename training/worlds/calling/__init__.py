"""Suites of single calls and dialog turns, checked against published answers."""
