"""The gate: may a candidate take the place of what is live? Evidence, a decision with its reasons, a record."""
