"""The table of moves as triggers, so that an illegal move is impossible for whoever speaks to the database.

Text only: made from MOVES for each kind of database, executed by the migrations.
"""

from jobs.status import MOVES, Status

#: What every one of these databases says when a move is refused.
REFUSED = "illegal move of a job"

#: Pairs, not IN lists: SQLite builds such a list anew for every row. Running jobs come first, they move the most.
_LEGAL = " OR ".join(
    f"(OLD.status = {int(start)} AND NEW.status = {int(end)})"
    for start in sorted(MOVES, key=lambda status: status != Status.RUNNING)
    for end in sorted(MOVES[start], reverse=True)
)
#: True where the update breaks the law: a move not in the table, or an attempt number that falls.
_BROKEN = f"NEW.attempt < OLD.attempt OR (NEW.status <> OLD.status AND NOT ({_LEGAL}))"

_SQLITE = f"""
CREATE TRIGGER jobs_moves BEFORE UPDATE OF status, attempt ON jobs WHEN {_BROKEN}
BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END
"""
_MARIADB = f"""
CREATE TRIGGER jobs_moves BEFORE UPDATE ON jobs FOR EACH ROW
IF {_BROKEN} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{REFUSED}'; END IF
"""  # noqa: S608  (made of the table above, not of input)
_POSTGRESQL_REFUSAL = f"""
CREATE FUNCTION jobs_moves() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'check_violation'; END $$
"""
_POSTGRESQL = f"""
CREATE TRIGGER jobs_moves BEFORE UPDATE OF status, attempt ON jobs FOR EACH ROW
WHEN ({_BROKEN}) EXECUTE FUNCTION jobs_moves()
"""
_STATEMENTS = {
    "sqlite": (_SQLITE,),
    "mysql": (_MARIADB,),
    "mariadb": (_MARIADB,),
    "postgresql": (_POSTGRESQL_REFUSAL, _POSTGRESQL),
}


def statements(dialect: str) -> tuple[str, ...]:
    """What to execute once on a database of this kind."""
    return _STATEMENTS[dialect]
