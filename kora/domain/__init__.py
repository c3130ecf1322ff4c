"""What Kora means: models and pure functions, no I/O."""
