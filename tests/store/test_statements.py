"""SQL is written in few places, and each statement is prepared against the tables."""

import ast
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import replay_proxy
from replay_proxy.store.sqlite import statements, vocabulary
from tests.support.tape import make, recorded

#: Modules with SQL besides ``statements``: the schema, and temporary tables of this process.
SQL_OF_THEIR_OWN = {
    "store/reading/keys",
    "store/reading/positions",
    "store/sqlite/schema",
    "store/sqlite/vocabulary",
}
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|WITH)\s+\S")


def test_every_statement_fits_the_tables(tmp_path: Path) -> None:
    path = make(tmp_path / "a.sqlite", [recorded("1", b"a")])
    texts = {name: sql for name, sql in vars(statements).items() if isinstance(sql, str)}
    sqls = {name: sql for name, sql in texts.items() if name.isupper() and name[0] != "_"}
    assert len(sqls) > 40
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(vocabulary._OPEN)
        for sql in (*sqls.values(), vocabulary._ALL, vocabulary._OF_ONE):
            named = dict.fromkeys(re.findall(r":(\w+)", sql))
            connection.execute(f"EXPLAIN {sql}", named)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(interaction)")]
    assert list(statements.COLUMNS) == columns


def test_sql_is_written_only_where_it_is_prepared_by_a_test() -> None:
    package = Path(replay_proxy.__file__).parent
    written = {
        file.relative_to(package).with_suffix("").as_posix()
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    }
    assert written == SQL_OF_THEIR_OWN | {"store/sqlite/statements"}
