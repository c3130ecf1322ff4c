"""The store in PostgreSQL, for runtimes on many machines."""
