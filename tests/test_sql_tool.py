"""A database that a model may ask: what it sees, and what it cannot do to SQLite and PostgreSQL."""

import sqlite3
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException
from threadmill.errors import BadToolSetting
from threadmill.nodes.tools.sql import make_sql_tools
from threadmill.nodes.traits import traits_of

SHOP = (
    "CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE orders (id integer PRIMARY KEY, customer integer REFERENCES customers(id), total real)",
    "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob')",
    "INSERT INTO orders VALUES (10, 1, 4.5), (11, 1, 20.0), (12, 2, NULL)",
    "CREATE VIEW rich AS SELECT name FROM customers JOIN orders ON customer = customers.id WHERE total > 10",
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A SQLite file with three orders, and a secret in another file beside it."""
    for name, statements in (
        ("shop.db", SHOP),
        ("secret.db", ("CREATE TABLE keys (k)", "INSERT INTO keys VALUES (4711)")),
    ):
        connection = sqlite3.connect(tmp_path / name)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
    return tmp_path / "shop.db"


@pytest.fixture(scope="module")
def postgres_shop(postgres_server: str) -> str:
    """The same tables in PostgreSQL, as its superuser; no test here changes them for good."""
    import psycopg
    from conftest import create_database

    url = create_database(postgres_server, "sql_tool_shop")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SHOP:
            connection.execute(statement.encode())
        connection.execute(b"CREATE SEQUENCE numbers")
        connection.execute(b"CREATE FUNCTION wipe() RETURNS void LANGUAGE sql AS 'DELETE FROM orders'")
        for name, argument in (("touch", "orders"), ('"do-it"', "")):
            connection.execute(f"CREATE FUNCTION {name}({argument}) RETURNS int LANGUAGE sql AS 'SELECT 1'".encode())
        connection.execute(b"CREATE ROLE shop_reader LOGIN")
        connection.execute(b"GRANT SELECT ON orders TO shop_reader")
    return url


def tools_of(url: str | Path, **settings: Any) -> dict[str, BaseTool]:
    place = f"sqlite:///{url}" if isinstance(url, Path) else url
    return {tool.name: tool for tool in make_sql_tools(place, **settings)}


def refusal(tool: BaseTool, statement: str) -> str:
    with pytest.raises(ToolException) as refused:
        tool.invoke({"statement": statement})
    return str(refused.value)


def ask(tool: BaseTool, statement: str) -> ToolMessage:
    return tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": {"statement": statement}})


BOTH = pytest.mark.parametrize("place", ["shop", "postgres_shop"])


@BOTH
def test_tables_are_described_and_queried(place: str, request: pytest.FixtureRequest):
    tools = tools_of(request.getfixturevalue(place))
    assert tools["list_tables"].invoke({}) == "customers\norders\nrich (view)"
    described = tools["describe_tables"].invoke({"tables": ["orders"]}).splitlines()
    assert described[1].startswith("  id INTEGER")
    assert described[1].endswith("primary key")
    assert described[-1] == "  customer refers to customers(id)"
    with pytest.raises(ToolException, match="there is no table 'keys'; list_tables shows those that are"):
        tools["describe_tables"].invoke({"tables": ["keys"]})
    answer = ask(
        tools["query_sql"], "-- who?\nSELECT name, total FROM customers JOIN orders ON customer = customers.id;"
    )
    assert answer.content == "name | total\nAnn | 4.5\nAnn | 20.0\nBob | NULL\n[3 rows]"
    assert answer.artifact == [
        {"name": "Ann", "total": 4.5},
        {"name": "Ann", "total": 20.0},
        {"name": "Bob", "total": None},
    ]


@BOTH
def test_rows_and_values_are_limited(place: str, request: pytest.FixtureRequest):
    query = tools_of(request.getfixturevalue(place), max_rows=2)["query_sql"]
    some = ask(query, "SELECT id, id FROM orders ORDER BY id")
    more = "[the first 2 rows of more; add ORDER BY with LIMIT and OFFSET to see others]"
    assert some.content == f"id | id_2\n10 | 10\n11 | 11\n{more}"
    assert some.artifact == [{"id": 10, "id_2": 10}, {"id": 11, "id_2": 11}]
    assert ask(query, "SELECT id FROM orders ORDER BY id LIMIT 2 OFFSET 2").content == "id\n12\n[1 row]"
    wide = ask(query, "SELECT replace('abababab', 'a', 'x|') AS odd, '1\n2' AS lines")
    assert wide.content == "odd | lines\nx\\|bx\\|bx\\|bx\\|b | 1\\n2\n[1 row]"


@BOTH
def test_endless_work_is_stopped_in_time(place: str, request: pytest.FixtureRequest):
    query = tools_of(request.getfixturevalue(place), timeout_s=0.2)["query_sql"]
    begun = perf_counter()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert refusal(query, endless) == "stopped after 0.2 s; ask for less"
    assert perf_counter() - begun < 10


CHANGES = [
    "INSERT INTO customers VALUES (3, 'Eve')",
    "UPDATE orders SET total = 0",
    "DELETE FROM orders",
    "DROP TABLE orders",
    "ALTER TABLE orders ADD COLUMN x int",
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1; COMMIT; DELETE FROM orders",
    "-- SELECT\nDELETE FROM orders",
    "/* SELECT */ DELETE FROM orders",
    "BEGIN",
    "COMMIT",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "VACUUM",
    "",
    ";",
]
SQLITE = [
    "ATTACH DATABASE 'secret.db' AS other",
    "SELECT load_extension('evil.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/mine', 'x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT 'a' REGEXP '(a+)+$'",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "SELECT * FROM pragma_database_list",
    "VACUUM INTO '/tmp/copy.db'",
    "REPLACE INTO customers VALUES (1, 'Eve')",
    "WITH x AS (SELECT 1) DELETE FROM orders",
    "WITH x AS (SELECT 1) INSERT INTO customers SELECT 3, 'Eve'",
    "SELECT length(zeroblob(2000000000))",
    "SELECT length(replace(hex(zeroblob(400000)), '0', 'xxxx'))",
    "WITH x AS (SELECT 1) UPDATE sqlite_master SET sql = ''",
]
POSTGRES = [
    "SET transaction_read_only = off",
    "SET ROLE NONE",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT pg_catalog.set_config('role', 'none', false)",
    "SELECT 1 AS x INTO mine",
    "SELECT * FROM orders FOR UPDATE",
    "LOCK TABLE orders",
    "COPY orders TO '/tmp/orders'",
    "COPY orders TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO STDOUT",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "CALL wipe()",
    "SELECT wipe()",
    "SELECT o.touch FROM orders o",
    'SELECT (o)."touch" FROM orders o',
    """SELECT '"' AS odd, "do-it"()""",
    'SELECT public."do-it" --\n ()',
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 7)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT pg_sleep(60)",
    'SELECT "pg_sleep" (60)',
    "SELECT pg_sleep -- now\n (60)",
    "SELECT PG_SLEEP\n(60)",
    "SELECT pg_sleep/**/(60)",
    "SELECT pg_sleep/* /* */ x */(60)",
    'SELECT U&"pg\\005fsleep"(60)',
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(pg_backend_pid())",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_reload_conf()",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "SELECT pg_logical_emit_message(true, 'a', 'b')",
    "SELECT dblink('dbname=postgres', 'DELETE FROM orders')",
    "SELECT 1) AS q(c0); DELETE FROM orders; SELECT (1",
    "SELECT 1) AS q(c0), (SELECT 2",
    "PREPARE p AS DELETE FROM orders",
    "DECLARE c CURSOR FOR SELECT 1",
    "NOTIFY a",
    "SELECT FROM orders",
]


def test_nothing_but_reading_is_possible_in_sqlite(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    before = shop.read_bytes()
    query = tools_of(shop)["query_sql"]
    for statement in [*CHANGES, *SQLITE]:
        assert refusal(query, statement), statement
    assert shop.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["secret.db", "shop.db"]


def test_nothing_but_reading_is_possible_in_postgresql(postgres_shop: str):
    query = tools_of(postgres_shop)["query_sql"]
    for statement in [*CHANGES, *POSTGRES]:
        told = refusal(query, statement)
        assert "stopped after" not in told, statement  # the time limit is another fence
    assert ask(query, "SELECT count(*) AS n FROM orders").artifact == [{"n": 3}]
    assert ask(query, "SELECT last_value, is_called FROM numbers").artifact == [{"last_value": 1, "is_called": False}]


def test_each_fence_holds_without_the_others(shop: Path, postgres_shop: str):
    """The words of a statement are only the first fence: what the database itself refuses is tried without it."""
    from sqlalchemy import make_url
    from threadmill.nodes.tools.sql_postgres import PostgresDatabase
    from threadmill.nodes.tools.sql_sqlite import SqliteDatabase
    from threadmill.nodes.tools.sql_words import Refused

    lite = SqliteDatabase(make_url(f"sqlite:///{shop}"), 5)
    for statement in [*CHANGES[:10], "ATTACH 'secret.db' AS x", "PRAGMA query_only = OFF", "BEGIN"]:
        with pytest.raises((sqlite3.DatabaseError, sqlite3.ProgrammingError, sqlite3.Warning)):
            lite.read(statement, 10)
    with lite.reading() as connection:
        bare: Any = connection.connection.driver_connection
        bare.set_authorizer(None)
        assert bare.execute("PRAGMA query_only").fetchall() == [(1,)]
        bare.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            bare.execute("DELETE FROM orders")
    import psycopg

    postgres = PostgresDatabase(make_url(postgres_shop), 5)
    for statement in [*CHANGES[:10], "SELECT * FROM orders FOR UPDATE", "SELECT 1 AS x INTO mine"]:
        with pytest.raises((psycopg.Error, Refused)):
            postgres.read(statement, 10)
    for statement in ("SELECT wipe()", "SELECT nextval('numbers')", "SELECT pg_read_file('/etc/passwd')"):
        with postgres.reading() as connection:
            driver: Any = connection.connection.driver_connection
            state = driver.execute("SELECT current_setting('transaction_read_only'), current_user").fetchall()
            assert state == [("on", "pg_read_all_data")]
            with pytest.raises(psycopg.Error, match=r"read-only transaction|permission denied"):
                driver.execute(statement)


def test_a_role_with_few_rights_sees_what_it_was_granted(postgres_shop: str):
    from sqlalchemy import make_url

    query = tools_of(str(make_url(postgres_shop).set(username="shop_reader")))["query_sql"]
    assert ask(query, "SELECT count(*) AS n FROM orders").artifact == [{"n": 3}]
    assert refusal(query, "SELECT * FROM customers") == "permission denied for table customers"
    assert "permission denied" in refusal(query, "SELECT rolpassword FROM pg_authid")


def test_wide_values_do_not_leave_postgresql_whole(postgres_shop: str):
    query = tools_of(postgres_shop)["query_sql"]
    tracemalloc.start()
    answer = ask(query, "SELECT repeat('x', 20000000) AS wide, 'infinity'::date AS far")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert answer.content == f"wide | far\n{'x' * 200}[… 9803 characters more] | infinity\n[1 row]"
    assert answer.artifact[0]["wide"] == "x" * 10_000 + "[…]"


def test_many_wide_columns_share_what_is_kept(shop: Path, postgres_shop: str):
    for url, wide in ((shop, "printf('%010000d', 7)"), (postgres_shop, "repeat('x', 10000)")):
        query = tools_of(url)["query_sql"]
        (row,) = ask(query, f"SELECT {', '.join([wide] * 60)}").artifact
        assert {len(value) for value in row.values()} == {20_000_000 // (101 * 60) + len("[…]")}
    changed = ask(
        tools_of(postgres_shop, write=True)["change_sql"], "UPDATE orders SET id = id RETURNING 'infinity'::date"
    )
    assert changed.content == "date\ninfinity\ninfinity\ninfinity\n[3 rows]\n[3 rows changed]"


def test_a_statement_made_to_unfold_gets_no_more_memory_than_all_may_have(shop: Path, monkeypatch: pytest.MonkeyPatch):
    from sqlalchemy import make_url
    from threadmill.nodes.tools.sql_sqlite import SqliteDatabase

    with SqliteDatabase(make_url(f"sqlite:///{shop}"), 5).reading() as connection:
        bare: Any = connection.connection.driver_connection
        bare.set_authorizer(None)
        assert bare.execute("PRAGMA hard_heap_limit").fetchall() == [(500_000_000,)]

    def read(*_: Any) -> Any:
        raise MemoryError  # as sqlite3 does at this limit; to reach it takes seconds

    monkeypatch.setattr(SqliteDatabase, "read", read)
    assert (
        refusal(tools_of(shop)["query_sql"], "SELECT 1") == "this takes more memory than there is for it; ask for less"
    )


def test_text_that_is_no_utf8_is_shown_as_far_as_it_can_be(shop: Path):
    found = ask(tools_of(shop)["query_sql"], "SELECT CAST(x'6966ff' AS TEXT) AS odd")
    assert found.artifact == [{"odd": "if\ufffd"}]


def test_harmless_functions_and_percent_signs_work_in_postgresql(postgres_shop: str):
    query = tools_of(postgres_shop)["query_sql"]
    answer = ask(
        query, "SELECT random() < 2 AS r, name LIKE '%n%' AS has FROM customers WHERE id IN (1) ORDER BY now()"
    )
    assert answer.artifact == [{"r": True, "has": True}]


def test_full_text_tables_can_be_queried(shop: Path):
    with sqlite3.connect(shop) as connection:
        connection.execute("CREATE VIRTUAL TABLE notes USING fts5(body)")
        connection.execute("INSERT INTO notes VALUES ('ink is late')")
    connection.close()
    assert ask(tools_of(shop)["query_sql"], "SELECT body FROM notes WHERE notes MATCH 'ink'").artifact == [
        {"body": "ink is late"}
    ]


@BOTH
def test_rows_are_changed_only_with_leave_and_each_statement_stands_alone(place: str, request: pytest.FixtureRequest):
    url = request.getfixturevalue(place)
    assert "change_sql" not in tools_of(url)
    tools = tools_of(url, write=True)
    assert {name: traits_of(tool).acts for name, tool in tools.items()} == {
        "list_tables": False,
        "describe_tables": False,
        "query_sql": False,
        "change_sql": True,
    }
    change = tools["change_sql"]
    assert ask(change, "INSERT INTO customers VALUES (3, 'Eve')").content == "[1 row changed]"
    answer = ask(change, "UPDATE customers SET name = 'Eva' WHERE id = 3 RETURNING name")
    assert answer.content == "name\nEva\n[1 row]\n[1 row changed]"
    assert refusal(change, "INSERT INTO customers VALUES (4, 'Dan'), (3, 'again')")
    assert refusal(change, "INSERT INTO orders VALUES (13, 99, 1)")  # refers to nobody
    assert refusal(tools["query_sql"], "DELETE FROM customers WHERE id = 3")
    assert ask(change, "DELETE FROM customers WHERE id > 2").content == "[1 row changed]"
    for statement in (
        "DROP TABLE orders",
        "DELETE FROM orders WHERE id = 10; DELETE FROM orders WHERE id = 11",
        "SELECT 1",
        "ATTACH 'x' AS y",
        "COPY orders FROM '/etc/passwd'",
        "DELETE FROM sqlite_master",
        "UPDATE sqlite_master SET sql = ''",
    ):
        assert refusal(change, statement), statement
    if place == "postgres_shop":
        for table in ("pg_authid", '"pg_authid"', "pg_catalog.pg_class", "information_schema.sql_features"):
            assert "system tables are for people" in refusal(change, f"DELETE FROM {table}"), table
        assert "pg_sleep" in refusal(change, "UPDATE orders SET total = 1 WHERE pg_sleep(60) IS NULL")
    assert ask(tools["query_sql"], "SELECT count(*) AS n FROM orders").artifact == [{"n": 3}]


def test_errors_are_observations_without_the_password(postgres_shop: str, shop: Path):
    assert refusal(tools_of(shop)["query_sql"], "SELECT nme FROM customers") == "no such column: nme"
    told = refusal(tools_of(postgres_shop)["query_sql"], "SELECT nme FROM customers")
    assert 'column "nme" does not exist' in told
    from sqlalchemy import make_url

    wrong = make_url(postgres_shop).set(password="open-sesame", username="nobody-open-sesame")
    failed = refusal(tools_of(wrong.render_as_string(hide_password=False))["query_sql"], "SELECT 1")
    assert "connection" in failed
    assert "open-sesame" not in failed


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://root:hush@host/shop", "'mysql' cannot be fenced here; use SQLite or PostgreSQL"),
        ("sqlite:///nowhere.db", "names no SQLite file that is there"),
        ("sqlite://", "names no SQLite file that is there"),
        ("sqlite:///file:shop.db?mode=rwc&uri=true", "names no SQLite file that is there"),
        ("shop.db", "cannot be read; write sqlite:///file.db or postgresql://"),
    ],
)
def test_databases_without_a_fence_are_refused(url: str, told: str):
    with pytest.raises(BadToolSetting) as refused:
        make_sql_tools(url)
    assert told in str(refused.value)
    assert "hush" not in str(refused.value)
