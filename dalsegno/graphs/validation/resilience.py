"""Rules on effects, retries and failures (R)."""
