"""Which rows of what was exported are kept: filters, mixes, duplicates, contamination, splits, redaction."""
