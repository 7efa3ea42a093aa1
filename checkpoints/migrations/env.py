"""What Alembic runs: the migrations, on the connection that is given (see ``migrations.upgrade``)."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
