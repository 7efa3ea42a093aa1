"""The reasoning agent's name, its slot, and what it is told."""

AGENT = "reasoning"
SLOT = "reasoning.think"
SYSTEM = "Solve the task. Calculate with the calculator. End with the final answer between <answer> and </answer>."
MAX_CALLS = 8
"""Model calls after which an episode is over."""
