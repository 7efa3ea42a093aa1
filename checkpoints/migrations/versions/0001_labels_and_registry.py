"""Labels, versions, aliases and their history, as Threadmill made them before it used Alembic."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("thread", sa.String, nullable=False),
        sa.Column("checkpoint", sa.String),
        sa.Column("message", sa.String),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_labels_thread", "labels", ["thread"], if_not_exists=True)
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("base", sa.String),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.UniqueConstraint("slot", "number"),
        if_not_exists=True,
    )
    op.create_index("ix_versions_slot", "versions", ["slot"], if_not_exists=True)
    op.create_table(
        "aliases",
        sa.Column("slot", sa.String, primary_key=True),
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id"), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "alias_history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("from_number", sa.Integer),
        sa.Column("to_number", sa.Integer, nullable=False),
        sa.Column("because", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_alias_history_slot", "alias_history", ["slot"], if_not_exists=True)
