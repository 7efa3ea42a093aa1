"""What is wrong with a claim, looked up in passages by rules over numbers, names and words."""
