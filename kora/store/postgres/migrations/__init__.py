"""PostgreSQL's schema, revision by revision."""
