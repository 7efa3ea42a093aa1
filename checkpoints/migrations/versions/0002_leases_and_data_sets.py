"""Leases on threads, and which data sets hold which threads."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "data_sets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.UniqueConstraint("digest", "folder"),
        if_not_exists=True,
    )
    op.create_table(
        "data_set_threads",
        sa.Column("data_set_id", sa.Integer, sa.ForeignKey("data_sets.id"), primary_key=True),
        sa.Column("thread", sa.String, primary_key=True),
        if_not_exists=True,
    )
    op.create_index("ix_data_set_threads_thread", "data_set_threads", ["thread"], if_not_exists=True)
    op.create_table(
        "leases",
        sa.Column("thread", sa.String, primary_key=True),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("acquired_at", sa.Float, nullable=False),
        sa.Column("beats_at", sa.Float, nullable=False),
        if_not_exists=True,
    )
