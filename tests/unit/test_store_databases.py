"""What must hold on every kind of database: sessions, checks at opening, any text, sizes, and no round trip per row."""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from jobs.errors import StoreUnavailable, StoreUnfit
from jobs.model import AuditEntry, MachineOverride, MachineState, MachineView, Submission
from jobs.status import Status
from jobs.store import Store, address, fitness, migrate
from tests.support import databases
from tests.support.databases import Database, MariaDb, PostgreSql
from tests.support.store_kit import Room, a_room, failed, ok

#: Of one, two, three and four bytes, a combined one, a control character that JSON keeps, quotes and a backslash.
WORDS = "aé中文字漢か한😀👩‍👩‍👧 \t\"'\\%s%(a)s?:x{}"
MIB = 1024 * 1024


@pytest.fixture
def room(tmp_path: Path, database: Database) -> Iterator[Room]:
    with a_room(tmp_path, database) as room:
        room.job_type()
        room.job_type("shop", return_main=True)
        yield room


# ----------------------------------------------------------------------------------------------------------- sessions

#: What a session of the writer must be, asked of the database itself.
SESSIONS = {
    "sqlite": {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2},
    "mariadb": {
        "SELECT @@SESSION.tx_isolation": "READ-COMMITTED",
        "SELECT @@SESSION.time_zone": "+00:00",
        "SELECT @@SESSION.sql_mode LIKE '%STRICT_ALL_TABLES%'": 1,
        "SELECT @@SESSION.character_set_connection": "utf8mb4",
        "SELECT @@SESSION.collation_connection": "utf8mb4_bin",
        "SELECT @@SESSION.innodb_lock_wait_timeout": 10,
        "SELECT @@SESSION.idle_transaction_timeout": 20,
    },
    "postgresql": {
        "SHOW transaction_isolation": "read committed",
        "SHOW TimeZone": "UTC",
        "SHOW client_encoding": "UTF8",
        "SHOW synchronous_commit": "on",
        "SHOW lock_timeout": "10s",
        "SHOW idle_in_transaction_session_timeout": "20s",
    },
}


def test_a_session_does_not_depend_on_the_servers_defaults(room: Room) -> None:
    expected = SESSIONS[room.database.kind]

    def ask(conn: Connection) -> dict[str, object]:
        return {question: conn.exec_driver_sql(question.replace("%", "%%")).scalar() for question in expected}

    assert room.store.write(lambda tx: ask(tx.conn)) == expected


# ---------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:////a/b.db", "sqlite"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mysql+pymysql"),
        ("mysql+pymysql://u:p%40ss@h:1/d?unix_socket=/s", "mysql+pymysql"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@/d?host=/run", "postgresql+psycopg"),
    ],
)
def test_addresses_get_the_driver_we_use(text: str, driver: str) -> None:
    assert address.parse(text).drivername == driver


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "oracle://u:secret@h/d",
        "mysql+mysqldb://u:secret@h/d",
        "mysql://u:secret@h",
        "mysql://u:secret@h:x/d",
    ],
)
def test_a_wrong_address_is_told_without_its_password(text: str) -> None:
    with pytest.raises(StoreUnfit, match="db: ") as caught:
        Store.open(text)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "find_spec", lambda _name: None)
    with pytest.raises(StoreUnfit, match=r"multijob-server\[postgresql\]"):
        address.parse("postgresql://u@h/d")


# ----------------------------------------------------------------------------------------------------- checks at start


@pytest.fixture
def mariadb(database_servers: None) -> MariaDb:
    if lacks := databases.missing("mariadb"):
        pytest.skip(f"this machine lacks {lacks}")
    server = databases.server("mariadb")
    assert isinstance(server, MariaDb)
    return server


@pytest.fixture
def postgresql(database_servers: None) -> PostgreSql:
    if lacks := databases.missing("postgresql"):
        pytest.skip(f"this machine lacks {lacks}")
    server = databases.server("postgresql")
    assert isinstance(server, PostgreSql)
    return server


def test_an_empty_mariadb_database_is_given_its_character_set(mariadb: MariaDb) -> None:
    mariadb.execute("CREATE DATABASE mj_latin CHARACTER SET latin1")
    Store.open(mariadb.url("mj_latin")).close()
    asked = "SELECT DISTINCT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mj_latin'"
    assert mariadb.execute(asked) == [("utf8mb4_bin",)]
    mariadb.execute("ALTER DATABASE mj_latin CHARACTER SET latin1")
    with pytest.raises(StoreUnfit, match="ALTER DATABASE mj_latin CHARACTER SET utf8mb4"):
        Store.open(mariadb.url("mj_latin"))
    mariadb.execute("DROP DATABASE mj_latin")


def test_a_mariadb_that_takes_no_large_rows_is_refused(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness, "PACKET_BYTES", 65 * MIB)
    monkeypatch.setattr(fitness, "MARIADB_LEAST", (99, 1))
    with pytest.raises(StoreUnfit) as caught:
        Store.open(mariadb.url(databases.TEMPLATE))
    assert "max_allowed_packet = 64M" in str(caught.value)
    assert "at least MariaDB 99.1" in str(caught.value)


def test_a_postgresql_database_that_is_not_utf8_is_refused(postgresql: PostgreSql) -> None:
    postgresql.execute("CREATE DATABASE mj_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(StoreUnfit, match="ENCODING 'UTF8'"):
        Store.open(postgresql.url("mj_ascii"))
    postgresql.execute("DROP DATABASE mj_ascii")


def test_the_password_is_part_of_the_address_and_of_no_error(mariadb: MariaDb) -> None:
    mariadb.execute("CREATE USER 'mj'@'localhost' IDENTIFIED BY 'p@ss:/w%'")
    mariadb.execute(f"GRANT ALL ON {databases.TEMPLATE}.* TO 'mj'@'localhost'")
    Store.open(mariadb.url(databases.TEMPLATE, "mj:p%40ss%3A%2Fw%25")).close()
    with pytest.raises(StoreUnavailable, match="Access denied") as caught:
        Store.open(mariadb.url(databases.TEMPLATE, "mj:wrongsecret"))
    assert "wrongsecret" not in str(caught.value)
    mariadb.execute("DROP USER 'mj'@'localhost'")


@pytest.mark.parametrize("kind", databases.KINDS)
def test_two_that_come_first_at_once_migrate_one_after_the_other(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        urls = [f"sqlite:///{tmp_path}/new.db"]
    else:
        server: MariaDb | PostgreSql = request.getfixturevalue(kind)
        server.execute("CREATE DATABASE mj_twice")
        urls = [server.url("mj_twice")]
    barrier = threading.Barrier(4)

    def come(url: str) -> int:
        barrier.wait(30)
        store = Store.open(url)
        with store.read() as conn:
            found = migrate.revision(conn) == migrate.HEAD
        store.close()
        return found

    with ThreadPoolExecutor(4) as hands:
        assert list(hands.map(come, urls * 4)) == [True] * 4
    if kind != "sqlite":
        server.execute("DROP DATABASE mj_twice")


# --------------------------------------------------------------------------------------------------------- any text


def test_any_text_comes_back_as_it_went_in(room: Room) -> None:
    label = WORDS.replace("\t", "")[:64]
    service = room.service
    told = json.dumps({"kwargs": {WORDS: [WORDS]}}, ensure_ascii=False)
    done = service.submit(Submission(job_type="shop", inputs=[told], batch=label, tag=label, limit_count=1))
    (job,) = range(done.first_id, done.first_id + done.count)
    room.claim(job)
    room.report(("end", job, 1, failed(error=WORDS, log={"stdout": {"head": WORDS, "tail": WORDS, "total": 1}})))
    service.due(room.clock.forward(1000))
    room.claim(job)
    room.report(("end", job, 2, ok(WORDS, return_data=json.dumps([WORDS], ensure_ascii=False))))
    (call,) = service.take_returns(1)
    room.returned(job, 2, WORDS)
    service.take_returns(room.clock.forward(1000) and 1)
    room.returned(job, 2, WORDS)
    detail = service.job(job)
    assert (detail.input, detail.job.batch, detail.job.tag) == (told, label, label)
    first, second = service.attempts(job)
    assert (first.error, json.loads(first.log or "")["stdout"]["tail"]) == (WORDS, WORDS)
    assert (json.loads(second.result or ""), json.loads(call.return_data)) == (WORDS, [WORDS])
    assert second.return_error == WORDS
    assert [one.batch for one in service.summary("shop")] == [label]
    assert [row.job_id for row in service.results(0, batch=label).rows] == [job]


def test_texts_about_machines_and_people_come_back_as_they_went_in(room: Room) -> None:
    long = WORDS * 4000  # far over 64 KiB
    view = MachineView(machine_id="m1", name=WORDS, state=MachineState.READY, text=long)
    room.service.put_machines([view]).result(10)
    (seen,) = room.service.machines()
    assert (seen.name, seen.text) == (WORDS, long)
    room.service.override([MachineOverride(machine_id="m1", key="name", value=long, file_value=None)])
    assert [one.value for one in room.service.overrides()] == [long]
    room.service.set_meta("x" * 100, long)
    assert room.service.meta("x" * 100) == long
    room.service.audit(
        AuditEntry(at=1.0, who=WORDS, source=WORDS, action="a", detail={"x": long}, rows=1, outcome=WORDS)
    )
    ((_, entry),) = room.service.audit_log()
    assert (entry.who, entry.detail["x"], entry.outcome) == (WORDS, long, WORDS)


def test_names_differ_in_case_and_accents(room: Room) -> None:
    for key in ("life:Lab", "life:lab", "life:läb"):
        room.service.set_meta(key, key)
    for key in ("life:Lab", "life:lab", "life:läb"):
        assert room.service.meta(key) == key
    batches = ("Batch", "batch", "bätch")
    for batch in batches:
        room.submit(1, batch=batch)
    assert {one.batch: one.jobs[Status.WAITING] for one in room.service.summary()} == dict.fromkeys(batches, 1)


def test_the_largest_result_fits(room: Room) -> None:
    (job,) = room.submit(job_type="shop")
    room.claim(job)
    quotes = json.dumps('"' * (4 * MIB - 2))  # every character written as two, and as four on its way
    assert len(quotes) == 8 * MIB - 2
    room.report(("end", job, 1, ok("x") | {"result": quotes, "return_data": quotes}))
    assert room.service.attempts(job)[0].result == quotes
    assert [call.return_data for call in room.service.take_returns(1)] == [quotes]


def test_numbers_are_kept_exactly(room: Room) -> None:
    spread = random.Random(7)  # noqa: S311  (the same numbers every time)
    jobs = room.submit(50, limit_count=0)
    room.claim(*jobs)
    spends = {job: spread.uniform(0, 10.0 ** spread.randint(-8, 9)) for job in jobs}
    room.report(*(("end", job, 1, ok(spend_s=spend, count=2**49 + job)) for job, spend in spends.items()))
    assert {job: room.service.job(job).job.spend_s for job in jobs} == spends
    assert {job: room.service.job(job).job.return_count for job in jobs} == {job: 2.0**49 + job for job in jobs}


# ---------------------------------------------------------------------------------------------------------- statements


@contextmanager
def statements_of_the_writer(room: Room) -> Iterator[Counter[str]]:
    """What the writer sends, by its first two words; ``rows`` counts those handed to a server one by one."""
    seen: Counter[str] = Counter()

    def note(_conn: object, _cursor: object, text: str, parameters: object, _context: object, many: bool) -> None:
        words = text.split()
        table = (
            words[words.index("FROM") + 1] if words[0] in ("SELECT", "DELETE") else words[1 + (words[0] == "INSERT")]
        )
        seen[f"{words[0]} {table.strip(',')}"] += 1
        if many and (room.database.kind == "postgresql" or words[0] != "INSERT"):
            seen["rows"] += room.database.kind != "sqlite"

    engine = room.store._write_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def questions(room: Room) -> int:
    """How many statements the server has seen in the writer's session."""
    asked = "SHOW SESSION STATUS LIKE 'Questions'"
    return room.store.write(lambda tx: int(tx.conn.exec_driver_sql(asked).one()[1]))


def claimed(room: Room, count: int) -> list[int]:
    jobs = room.submit(count, limit_count=0)
    room.claim(*jobs)
    return jobs


def test_a_report_of_fifty_attempts_is_as_many_statements_as_one_of_five(room: Room) -> None:
    room.report(*(("end", job, 1, ok()) for job in claimed(room, 1)))  # rows of counters are there
    few, many = claimed(room, 5), claimed(room, 50)
    with statements_of_the_writer(room) as for_few:
        room.report(*(("end", job, 1, ok()) for job in few))
    with statements_of_the_writer(room) as for_many:
        room.report(*(("end", job, 1, ok()) for job in many))
    assert for_few.pop("INSERT attempts") == 1
    assert for_many.pop("INSERT attempts") == (3 if room.database.kind == "sqlite" else 1)  # lists of 32 and 16, a rest
    assert for_many == for_few
    assert for_many["rows"] == 0
    assert (for_many["UPDATE jobs"], for_many["SELECT jobs"]) == (1, 1)
    assert sum(for_many.values()) <= 15
    print(f"{room.database.kind}: {sum(for_many.values())} statements: {dict(for_many)}")


def test_no_verb_on_many_jobs_goes_row_by_row(room: Room) -> None:
    counts = {}
    for size in (10, 100):
        with statements_of_the_writer(room) as seen:
            jobs = room.submit(size, limit_count=1)
            room.claim(*jobs)
            room.report(*(("start", job, 1, {}) for job in jobs))
            room.report(*(("end", job, 1, failed()) for job in jobs[: size // 2]))
            room.service.lose("m1")
            room.report(*(("end", job, 1, ok()) for job in jobs[size // 2 :]))
            room.service.due(room.clock.forward(1000))
            room.service.kill(jobs)
            room.service.rerun(jobs)
            room.service.copy(jobs)
            room.service.delete(jobs)
        counts[size] = seen
    assert counts[100]["rows"] == counts[10]["rows"] == 0
    lists = 60 if room.database.kind == "sqlite" else 0
    assert sum(counts[100].values()) <= sum(counts[10].values()) + 5 + lists


def test_any_number_of_rows_is_written_once_each(room: Room) -> None:
    total = 0
    for count in (1, 7, 8, 9, 33, 256, 257, 270):
        jobs = claimed(room, count)
        room.report(*(("end", job, 1, ok(job)) for job in jobs))
        total += count
    rows = room.database.sql(
        "SELECT id, result, done_seq FROM jobs JOIN attempts ON job_id = id WHERE status = ? AND attempts.attempt = 1",
        [int(Status.DONE)],
    )
    assert len(rows) == len({row[2] for row in rows}) == total
    assert all(row[1] == str(row[0]) for row in rows)
    assert room.database.sql("SELECT jobs FROM counters WHERE status = ?", [int(Status.DONE)]) == [(total,)]


def test_postgresql_finds_what_is_written_by_its_keys(tmp_path: Path, postgresql: PostgreSql) -> None:
    plans: list[str] = []

    def explain(conn: Connection, _cursor: object, text: str, parameters: object, *_: object) -> None:
        if text.startswith("UPDATE jobs"):
            with conn.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {text}", parameters)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))

    with databases.a_database("postgresql", tmp_path) as database, a_room(tmp_path, database) as room:
        room.job_type()
        room.submit(2000)  # never analysed, so that the planner knows nothing of them
        event.listen(room.store._write_engine, "before_cursor_execute", explain)
        jobs = claimed(room, 300)
        room.report(*(("end", job, 1, ok()) for job in jobs[:100]), *(("end", job, 1, failed()) for job in jobs[100:]))
        event.remove(room.store._write_engine, "before_cursor_execute", explain)
    assert len(plans) >= 3
    for plan in plans:
        assert "jobs_pkey" in plan
        assert "jobs_open" not in plan
        assert "jobs_queue" not in plan


def test_mariadb_itself_sees_no_round_trip_per_row(tmp_path: Path, mariadb: MariaDb) -> None:
    with databases.a_database("mariadb", tmp_path) as database, a_room(tmp_path, database) as room:
        room.job_type()
        room.report(*(("end", job, 1, ok()) for job in claimed(room, 1)))
        seen = []
        for size in (50, 500):
            before = questions(room)
            jobs = claimed(room, size)
            room.report(*(("end", job, 1, ok()) for job in jobs))
            seen.append(questions(room) - before)
        assert seen[0] < 50
        assert seen[1] <= seen[0] + 2
