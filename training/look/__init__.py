"""Look at data sets and at threads token by token: previews, statistics, checks."""
