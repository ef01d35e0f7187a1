"""The door for people: their tokens, sign-in codes, what they did; and values kept for the server."""

from collections.abc import Iterable

from jobs import submitting
from jobs.doors.desk import Desk
from jobs.model import AuditEntry, TokenInfo
from jobs.store import tokens


class Tokens(Desk):
    """Tokens, codes, audit, and the server's own values."""

    def create_token(self, name: str, scopes: Iterable[str], *, expires_at: float | None = None) -> str:
        """Make a token; its text is shown now and never again. Raises InvalidInput, Conflict (name taken)."""
        wanted = submitting.check_scopes(name, scopes)
        return self._store.write(lambda tx: tokens.create(tx, name, wanted, self._clock(), expires_at))

    def check_token(self, text: str) -> TokenInfo | None:
        """Whose token this is; None: nobody's, expired or revoked. Notes its use at most once a minute."""
        now = self._clock()
        with self._store.read() as conn:
            found = tokens.find(conn, text, now)
        if found is not None and tokens.stale_use(found, now):
            self._store.submit_write(lambda tx: tokens.note_use(tx, found.name, now))
        return found

    def tokens(self) -> list[TokenInfo]:
        """All tokens, also revoked ones."""
        with self._store.read() as conn:
            return tokens.everyone(conn)

    def revoke_token(self, name: str) -> bool:
        """End a token at once; False: there is no such living token."""
        return self._store.write(lambda tx: tokens.revoke(tx, name, self._clock()))

    def create_code(self, *, scopes: Iterable[str] = ("admin",), lifetime_s: float = 600.0) -> str:
        """A one-time sign-in code for a link."""
        wanted = submitting.check_scopes("code", scopes)
        return self._store.write(lambda tx: tokens.create_code(tx, wanted, self._clock() + lifetime_s))

    def redeem_code(self, code: str) -> frozenset[str] | None:
        """The scopes a code grants, once; None: unknown, used or expired."""
        return self._store.write(lambda tx: tokens.redeem_code(tx, code, self._clock()))

    def audit(self, entry: AuditEntry) -> None:
        """Add to the log of who did what; durable when this returns."""
        self._store.write(lambda tx: tokens.audit(tx, entry))

    def audit_log(self, size: int = 50, after: int | None = None) -> list[tuple[int, AuditEntry]]:
        """A page of that log with row numbers, newest first."""
        submitting.check_page(size, after)
        with self._store.read() as conn:
            return tokens.audit_page(conn, size, after)

    def meta(self, key: str) -> str | None:
        """A value kept for the server, such as "server_id"."""
        with self._store.read() as conn:
            return tokens.meta(conn, key)

    def keep_meta(self, key: str, value: str) -> str:
        """Store a value unless there is one; the stored one."""
        return self._store.write(lambda tx: tokens.keep_meta(tx, key, value))

    def set_meta(self, key: str, value: str) -> None:
        """Store a value in place of any before."""
        self._store.write(lambda tx: tokens.set_meta(tx, key, value))
