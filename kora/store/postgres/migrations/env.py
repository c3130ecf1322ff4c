"""What alembic runs: the revisions, on the connection and in the transaction that `run.upgrade` has opened."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transactional_ddl=True, version_table_schema="kora"
)
with context.begin_transaction():
    context.run_migrations()
