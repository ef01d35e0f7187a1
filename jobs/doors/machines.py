"""The door for machines as last seen, what people set on top of the inventory, and runners."""

from collections.abc import Sequence
from concurrent.futures import Future

from jobs.doors.desk import Desk
from jobs.errors import NotFound
from jobs.model import BenchRow, MachineOverride, MachineView, RunnerInfo
from jobs.store import Tx, benches, machines


class Machines(Desk):
    """Machines, overrides, runners."""

    def put_machines(self, rows: Sequence[MachineView]) -> "Future[None]":
        """Replace what is known of these machines; nobody has to wait for it."""
        return self._store.submit_write(lambda tx: machines.put(tx, rows, self._clock()))

    def drop_machines(self, machine_ids: Sequence[str]) -> None:
        """Forget machines that left the inventory."""

        def drop(tx: Tx) -> None:
            machines.drop(tx, machine_ids)
            benches.drop_machines(tx, machine_ids)

        self._store.write(drop)

    def put_bench(self, row: BenchRow) -> None:
        """A machine gets no jobs of a type for a while."""
        self._store.write(lambda tx: benches.put(tx, row))

    def drop_bench(self, machine_id: str, job_type: str) -> None:
        """It gets them again."""
        self._store.write(lambda tx: benches.drop(tx, machine_id, job_type))

    def benches(self) -> list[BenchRow]:
        """All machines that are benched, and for what."""
        with self._store.read() as conn:
            return benches.everyone(conn)

    def machines(self) -> list[MachineView]:
        """All machines as last seen, by id."""
        with self._store.read() as conn:
            return machines.everyone(conn)

    def override(self, rows: Sequence[MachineOverride]) -> None:
        """Set these on top of the inventory (checked by the caller); the engine hears of it. Raises NotFound."""
        known = {machine.machine_id for machine in self.machines()}
        for row in rows:
            if row.machine_id not in known:
                raise NotFound(f"there is no machine {row.machine_id}")
        named = sorted({row.machine_id for row in rows})

        def put(tx: Tx) -> None:
            machines.put_overrides(tx, rows, self._clock())
            tx.after(lambda: self.on_override(named))

        self._store.write(put)

    def overrides(self) -> list[MachineOverride]:
        """All of them; those without ``file_value`` the engine has not seen yet."""
        with self._store.read() as conn:
            return machines.overrides(conn)

    def pin_override(self, row: MachineOverride) -> None:
        """The engine has seen what the file says for this one; nothing happens if it was set anew meanwhile."""
        self._store.write(lambda tx: machines.pin_override(tx, row))

    def drop_override(self, machine_id: str, key: str) -> None:
        """Forget one, because the file's own value has changed since."""
        self._store.write(lambda tx: machines.drop_override(tx, machine_id, key))

    def open_runner(self, runner_id: str, machine_id: str, key_salt: str) -> None:
        """Write down a runner before it gets its key."""
        runner = RunnerInfo(runner_id=runner_id, machine_id=machine_id, key_salt=key_salt, created_at=self._clock())
        self._store.write(lambda tx: machines.open_runner(tx, runner))

    def close_runner(self, runner_id: str) -> None:
        """The runner is gone and all it said is stored: its key is worth nothing from now on."""
        self._store.write(lambda tx: machines.close_runner(tx, runner_id, self._clock()))

    def runner(self, runner_id: str) -> RunnerInfo | None:
        """One runner, also an ended one."""
        with self._store.read() as conn:
            return machines.runner(conn, runner_id)
