"""Off-policy estimates from logged traces: a screening before anything is deployed, never the gate."""
