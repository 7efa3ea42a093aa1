"""The gate: from two evaluations and a policy to a recorded verdict."""
