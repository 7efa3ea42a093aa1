"""What Alembic runs: the migrations, on the connection that is given (see ``migrations.upgrade``)."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()
