"""Where Alembic meets our connection: ``jobs.store.migrate`` opens it and commits, nothing is configured here."""

from alembic import context

from jobs.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
context.run_migrations()
