"""Where everything durable lives."""
