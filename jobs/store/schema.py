"""The tables as the statements of this package see them. The migrations make them; a test compares the two.

Portable: SQLite, MariaDB, PostgreSQL. Every index on ``jobs`` is paid for by each job several times over, so there are
only those without which a million rows would be slow; the partial ones hold only the rows they are for.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

#: A row as any statement gives it.
AnyRow = Row[*tuple[Any, ...]]

#: SQLite makes only an INTEGER primary key the row's own number.
Id = BigInteger().with_variant(Integer, "sqlite")
#: Names are compared byte by byte; MariaDB would fold case otherwise.
Name = String(64).with_variant(mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
#: Bodies may be 16 MiB; a MariaDB TEXT ends at 64 KiB.
Body = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
#: A chunk is 1 MiB; a MariaDB BLOB ends at 64 KiB.
Bytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, hidden from the planner: it must not leave the index we mean for one over this column."""
    return func.coalesce(column, None)


def _partial(condition: str) -> dict[str, Any]:
    """An index over the rows that meet the condition, where the database can; over all of them on MariaDB."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("lane_id", Integer, nullable=False),
    Column("job_type", Name, nullable=False),
    Column("tag", Name, nullable=False),
    Column("batch", Name, nullable=False),
    # The negative of the priority, so that one ascending index gives the order.
    Column("rank", Integer, nullable=False),
    Column("limit_count", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False, server_default="0"),
    Column("reason", String(32), nullable=False, server_default=""),
    # The fence: grows with every claim, never falls.
    Column("attempt", Integer, nullable=False, server_default="0"),
    # The budget: how often work() may have begun since the submit or the last rerun.
    Column("starts", Integer, nullable=False, server_default="0"),
    Column("return_tries", Integer, nullable=False, server_default="0"),
    Column("return_interruptions", Integer, nullable=False, server_default="0"),
    Column("kill_requested", Boolean, nullable=False, server_default=text("false")),
    Column("machine_id", Name, nullable=False, server_default=""),
    Column("version", Integer, nullable=False, server_default="-1"),
    Column("input", Body, nullable=False),
    # The lane while the job can be claimed, else NULL.
    Column("queued_lane", Integer),
    # Waiting: the end of the back-off. Returning: when return_main may be called; NULL while it runs.
    Column("due_at", Double),
    Column("unreachable", Boolean, nullable=False, server_default=text("false")),
    Column("cleared", Boolean, nullable=False, server_default=text("false")),
    Column("return_count", Double, nullable=False, server_default="0"),
    Column("spend_s", Double, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("claimed_at", Double),
    Column("started_at", Double),
    Column("updated_at", Double, nullable=False),
    # The place in the stream of results; set while the job is terminal.
    Column("done_seq", BigInteger),
    # The group of its failure, while it is failed.
    Column("fingerprint", String(16)),
)
Index(
    "jobs_queue",
    jobs.c.queued_lane,
    jobs.c.rank,
    jobs.c.id,
    jobs.c.limit_count,
    **_partial("queued_lane IS NOT NULL"),
)
Index("jobs_due", jobs.c.status, jobs.c.due_at, **_partial("due_at IS NOT NULL"))
Index("jobs_done", jobs.c.done_seq, unique=True, **_partial("done_seq IS NOT NULL"))
Index("jobs_open", jobs.c.machine_id, jobs.c.id, **_partial("status = 1"))
Index("jobs_failed", jobs.c.id, **_partial("status < 0"))
#: Not on MariaDB, where no index is partial: each move of each job would pay for it.
Index("jobs_worked", jobs.c.status, jobs.c.id, **_partial("status >= 2"))
Index("jobs_batch", jobs.c.batch, jobs.c.id)
Index("jobs_fingerprint", jobs.c.fingerprint, jobs.c.id, **_partial("fingerprint IS NOT NULL"))

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("machine_id", Name, nullable=False),
    Column("version", Integer, nullable=False),
    Column("claimed_at", Double),
    Column("started_at", Double),
    Column("ended_at", Double, nullable=False),
    Column("spend_s", Double, nullable=False),
    # Empty: success.
    Column("reason", String(32), nullable=False),
    Column("started", Boolean, nullable=False),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("result", Body),
    Column("return_data", Body),
    Column("return_count", Double, nullable=False),
    Column("error", Body),
    Column("log", Body),
    Column("return_error", Body),
    # JSON: how the machine was when the attempt failed.
    Column("machine", Text),
    sqlite_with_rowid=False,
)

#: Holds all that a heat-map of any length asks for.
Index("attempts_ended", attempts.c.ended_at, attempts.c.machine_id, attempts.c.spend_s, attempts.c.reason)

lanes = Table(
    "lanes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("job_type", Name, nullable=False),
    Column("tag", Name, nullable=False),
    # JSON list of machines that its jobs must not go to, and the digest of that list; both empty for none.
    Column("avoid", Body, nullable=False),
    Column("avoid_sha256", String(64), nullable=False, server_default=""),
    # Its waiting jobs, kept and not counted: those that can be claimed, and those that back off.
    Column("ready", BigInteger, nullable=False, server_default="0"),
    Column("backing_off", BigInteger, nullable=False, server_default="0"),
)
Index("lanes_of", lanes.c.job_type, lanes.c.tag, lanes.c.avoid_sha256, unique=True)

#: One row a number that only grows: "job", "lane", "done", "event". Its lock orders the writers of several processes.
sequences = Table(
    "sequences",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("next", BigInteger, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("job_type", Name, primary_key=True),
    Column("batch", Name, primary_key=True),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("jobs", BigInteger, nullable=False),
    Column("return_count", Double, nullable=False),
    Column("spend_s", Double, nullable=False),
    # Of the first job that came here; on the row of the waiting ones that is the first of the batch.
    Column("begin_at", Double, nullable=False, server_default="0"),
    Column("updated_at", Double, nullable=False, server_default="0"),
    # The tag of the batch's first job, on the row of the waiting ones.
    Column("tag", Name, nullable=False, server_default=""),
)
Index("counters_batch", counters.c.batch, counters.c.status)

#: The same jobs by the hour of their latest move: what a history shows. Hours since the epoch.
hours = Table(
    "hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("job_type", Name, primary_key=True),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("jobs", BigInteger, nullable=False),
    Column("return_count", Double, nullable=False),
    Column("spend_s", Double, nullable=False),
)

#: How long finished jobs took, by steps of a twelfth of a doubling (see ``spends``): by batch, and by hour.
batch_spends = Table(
    "batch_spends",
    metadata,
    Column("job_type", Name, primary_key=True),
    Column("batch", Name, primary_key=True),
    Column("step", SmallInteger, primary_key=True, autoincrement=False),
    Column("jobs", BigInteger, nullable=False),
)
Index("batch_spends_batch", batch_spends.c.batch)
hour_spends = Table(
    "hour_spends",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("job_type", Name, primary_key=True),
    Column("step", SmallInteger, primary_key=True, autoincrement=False),
    Column("jobs", BigInteger, nullable=False),
)

#: Actions on many jobs. A chunk of jobs and the cursor behind it are written together, so nothing is done twice.
operations = Table(
    "operations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("action", String(16), nullable=False),
    # JSON: the filter without its ids; those as a list, ascending, and how many they are.
    Column("filter", Body, nullable=False),
    Column("ids", Body),
    Column("named", Integer),
    Column("elsewhere", Boolean, nullable=False),
    # For a change of priority: to which.
    Column("priority", Integer),
    # Jobs up to ``cursor`` are done with; those after ``upto`` came later and are not meant.
    Column("cursor", BigInteger, nullable=False),
    Column("upto", BigInteger, nullable=False),
    # How many there were at the beginning, where that was known.
    Column("total", BigInteger),
    Column("matched", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    # JSON: cause to number.
    Column("skipped", Text, nullable=False),
    # JSON: ranges of the ids that copies got.
    Column("made", Body, nullable=False),
    Column("state", String(16), nullable=False),
    Column("why", Text, nullable=False),
    Column("who", String(128), nullable=False),
    Column("source", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("ended_at", Double),
)
Index("operations_state", operations.c.state, operations.c.id)

#: Every batch that has jobs, by age.
batches = Table(
    "batches",
    metadata,
    Column("batch", Name, primary_key=True),
    Column("begin_at", Double, nullable=False),
)
Index("batches_begin", batches.c.begin_at, batches.c.batch)

#: Failed attempts that look alike. Texts are bounded, and so is the number of groups a job type may have.
failures = Table(
    "failures",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("job_type", Name, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("exception", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("frame", Text, nullable=False),
    # Jobs that are failed now.
    Column("jobs", BigInteger, nullable=False),
    # Attempts that ever ended so.
    Column("attempts", BigInteger, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("sample_job", BigInteger, nullable=False),
    Column("sample_attempt", Integer, nullable=False),
    # Muted while no newer version than this one is published.
    Column("muted_version", Integer),
)
Index("failures_type", failures.c.job_type)

failure_places = Table(
    "failure_places",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    # Empty: the server itself, where return_main failed.
    Column("machine_id", Name, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("attempts", BigInteger, nullable=False),
)

failure_hours = Table(
    "failure_hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", String(16), primary_key=True),
    Column("attempts", BigInteger, nullable=False),
)

#: What changed last, and under which number: one row a subject, so that whoever comes back reads each once.
events = Table(
    "events",
    metadata,
    Column("kind", String(16), primary_key=True),
    # Empty: the kind as a whole.
    Column("subject", Name, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
Index("events_number", events.c.number)

submissions = Table(
    "submissions",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
)
Index("submissions_age", submissions.c.created_at)

versions = Table(
    "versions",
    metadata,
    Column("job_type", Name, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("node_digest", String(64), nullable=False),
    Column("has_return_main", Boolean, nullable=False),
    Column("settings", Body, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    # A forgotten job type keeps its versions: attempts point at them, and numbers are never used again.
    Column("forgotten_at", Double),
)

#: The zip of each content in pieces, named by its digest.
chunks = Table(
    "chunks",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("data", Bytes, nullable=False),
)

machines = Table(
    "machines",
    metadata,
    Column("machine_id", Name, primary_key=True),
    Column("view", Body, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

#: What people set on top of the inventory. ``file_value`` is NULL until the engine has seen what the file says.
overrides = Table(
    "overrides",
    metadata,
    Column("machine_id", Name, primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("value", Body, nullable=False),
    Column("file_value", Body),
    Column("set_at", Double, nullable=False),
)

#: Machines that get no jobs of a type ("": of any) for a while, because those fail there unlike elsewhere.
benches = Table(
    "benches",
    metadata,
    Column("machine_id", Name, primary_key=True),
    Column("job_type", Name, primary_key=True),
    Column("why", Text, nullable=False),
    # How often in a row.
    Column("level", Integer, nullable=False),
    Column("since_at", Double, nullable=False),
    Column("until_at", Double, nullable=False),
)

runners = Table(
    "runners",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("machine_id", Name, nullable=False),
    Column("key_salt", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", Name, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
)
Index("tokens_sha256", tokens.c.sha256, unique=True)

#: People with passwords, as memory-hard hashes.
users = Table(
    "users",
    metadata,
    Column("name", Name, primary_key=True),
    Column("password", String(255), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    # When the password was set.
    Column("changed_at", Double, nullable=False),
    Column("last_used_at", Double),
)

#: Browsers that are signed in. ``origin`` and ``name`` say by what: a user, a token, or a one-time code.
sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("origin", String(8), nullable=False),
    Column("name", Name, nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
Index("sessions_origin", sessions.c.origin, sessions.c.name)

#: What people ask of the engine, which may live in another process.
commands = Table(
    "commands",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    # Empty: the server itself.
    Column("machine_id", Name, nullable=False),
    Column("args", Body, nullable=False),
    Column("asked_by", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    # JSON: what the engine said on the way, line by line; and in the end.
    Column("progress", Body, nullable=False),
    Column("answer", Body),
    Column("created_at", Double, nullable=False),
    Column("begun_at", Double),
    Column("ended_at", Double),
)
Index("commands_state", commands.c.state, commands.c.id)

#: One row: who may write as the active orchestrator.
leader = Table(
    "leader",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    # Grows whenever somebody takes the lease.
    Column("epoch", BigInteger, nullable=False),
    # Grows while its holder lives.
    Column("renewals", BigInteger, nullable=False),
    Column("owner", String(255), nullable=False),
    Column("since", Double, nullable=False),
    Column("lease_s", Double, nullable=False),
)

codes = Table(
    "codes",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("scopes", String(128), nullable=False),
    Column("expires_at", Double, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("value", Body, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("who", String(128), nullable=False),
    Column("source", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("detail", Body, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("outcome", String(128), nullable=False),
)
