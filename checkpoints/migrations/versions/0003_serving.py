"""Slots, runs, rows' sources, evaluations, verdicts, and what serves: pins, canaries, outcomes, workers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("versions", sa.Column("kind", sa.String, nullable=False, server_default="full"))
    op.add_column("versions", sa.Column("base_folder", sa.String))
    op.add_column("versions", sa.Column("files", sa.JSON))
    op.add_column("versions", sa.Column("gone_at", sa.String))
    op.add_column("alias_history", sa.Column("alias", sa.String, nullable=False, server_default="live"))
    op.add_column("alias_history", sa.Column("moved_by", sa.String))
    op.create_table(
        "slots",
        sa.Column("slot", sa.String, primary_key=True),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "data_set_rows",
        sa.Column("data_set_id", sa.Integer, sa.ForeignKey("data_sets.id"), primary_key=True),
        sa.Column("split", sa.String, primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("thread", sa.String, nullable=False),
        sa.Column("checkpoint", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_data_set_rows_thread", "data_set_rows", ["thread"], if_not_exists=True)
    op.create_table(
        "runs",
        sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("recipe", sa.String, nullable=False),
        sa.Column("data_digest", sa.String),
        sa.Column("seed", sa.Integer),
        sa.Column("steps", sa.Integer),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("libraries", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_runs_data_digest", "runs", ["data_digest"], if_not_exists=True)
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("suite", sa.String, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("k", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("summary", sa.JSON),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("finished_at", sa.String),
        if_not_exists=True,
    )
    op.create_index("ix_evaluations_suite", "evaluations", ["suite"], if_not_exists=True)
    op.create_table(
        "evaluation_trials",
        sa.Column("evaluation", sa.String, sa.ForeignKey("evaluations.id"), primary_key=True),
        sa.Column("task", sa.String, primary_key=True),
        sa.Column("trial", sa.Integer, primary_key=True),
        sa.Column("tier", sa.String, nullable=False),
        sa.Column("thread", sa.String, nullable=False),
        sa.Column("success", sa.Boolean, nullable=False),
        sa.Column("reward", sa.Float, nullable=False),
        sa.Column("measured", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_evaluation_trials_thread", "evaluation_trials", ["thread"], if_not_exists=True)
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("candidate", sa.String, nullable=False),
        sa.Column("live", sa.String, nullable=False),
        sa.Column("decision", sa.String, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("evaluations", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_verdicts_slot", "verdicts", ["slot"], if_not_exists=True)
    op.create_table(
        "pins",
        sa.Column("thread", sa.String, primary_key=True),
        sa.Column("slot", sa.String, primary_key=True),
        sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id"), nullable=False),
        sa.Column("because", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "canaries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id"), nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("bound", sa.JSON, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("because", sa.String, nullable=False),
        sa.Column("ended_because", sa.String),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String),
        if_not_exists=True,
    )
    op.create_index("ix_canaries_slot", "canaries", ["slot"], if_not_exists=True)
    op.create_table(
        "guards",
        sa.Column("slot", sa.String, primary_key=True),
        sa.Column("bound", sa.JSON, nullable=False),
        sa.Column("because", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "run_outcomes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("thread", sa.String, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("why", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_run_outcomes_slot", "run_outcomes", ["slot"], if_not_exists=True)
    op.create_index("ix_run_outcomes_thread", "run_outcomes", ["thread"], if_not_exists=True)
    op.create_index("ix_run_outcomes_version", "run_outcomes", ["version"], if_not_exists=True)
    op.create_table(
        "shadow_proposals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("canary_id", sa.Integer, sa.ForeignKey("canaries.id"), nullable=False),
        sa.Column("thread", sa.String, nullable=False),
        sa.Column("message", sa.String),
        sa.Column("live", sa.JSON, nullable=False),
        sa.Column("proposed", sa.JSON),
        sa.Column("agrees", sa.Boolean, nullable=False),
        sa.Column("error", sa.String),
        sa.Column("created_at", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_shadow_proposals_canary_id", "shadow_proposals", ["canary_id"], if_not_exists=True)
    op.create_index("ix_shadow_proposals_thread", "shadow_proposals", ["thread"], if_not_exists=True)
    op.create_table(
        "workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("machine", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("answering", sa.String),
        sa.Column("live", sa.String),
        sa.Column("loaded", sa.JSON, nullable=False),
        sa.Column("trouble", sa.String, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_workers_slot", "workers", ["slot"], if_not_exists=True)
    op.execute("INSERT INTO slots (slot, created_at) SELECT slot, min(created_at) FROM versions GROUP BY slot")
    _note_runs(op.get_bind())


def _note_runs(connection: sa.Connection) -> None:
    """What the lineage of versions tells of runs, as rows."""
    versions = sa.table("versions", sa.column("id", sa.Integer), sa.column("lineage", sa.JSON))
    names = ("version_id", "position", "recipe", "data_digest", "seed", "steps")
    runs = sa.table("runs", *map(sa.column, names), sa.column("settings", sa.JSON), sa.column("libraries", sa.JSON))
    for version, lineage in connection.execute(sa.select(versions.c.id, versions.c.lineage)).all():
        for position, run in enumerate(lineage.get("runs", [])):
            data = run.get("data")
            connection.execute(
                runs.insert().values(
                    version_id=version,
                    position=position,
                    recipe=str(run.get("recipe", "")),
                    data_digest=data.get("digest") if isinstance(data, dict) else None,
                    seed=run.get("seed"),
                    steps=run.get("steps"),
                    settings={key: value for key, value in run.items() if key not in ("recipe", "steps", "seed")},
                    libraries=lineage.get("libraries", {}),
                )
            )
