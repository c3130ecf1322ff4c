"""The schema's history, told to alembic. Importing this imports nothing; only `run` does."""
