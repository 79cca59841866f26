"""What scripts/fuzz-http is made of."""
