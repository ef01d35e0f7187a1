"""The server's end of a runner, without a server: speaks the channel, takes reports, remembers all it was told."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from remote_runner import digest, protocol
from remote_runner.protocol import Assignment, Decoder, Record, Version

DEADLINE_S = 30.0


class Nothing(AssertionError):
    """What a test waited for did not come; the text shows the last state."""


class Detached(Exception):
    """There is no channel now."""


class ReportListener:
    """Takes POSTs as the web's report listener does, on its own thread. ``answering`` False: refuses with 503."""

    def __init__(self, take: Callable[[str, bytes, str], dict[str, Any] | None]) -> None:
        self._take = take
        self._sock = socket.create_server(("127.0.0.1", 0))
        self._sock.settimeout(0.1)
        self._connections: list[socket.socket] = []
        self._closed = False
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}/report"
        self._thread = threading.Thread(target=self._accept, name="report-listener")
        self._thread.start()
        self._threads: list[threading.Thread] = []

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._sock.accept()
            except TimeoutError:
                continue
            sock.settimeout(None)
            self._connections.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), name="report-connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as stream:
            try:
                while self._one(sock, stream):
                    pass
            except OSError:
                pass

    def _one(self, sock: socket.socket, stream: Any) -> bool:
        if not stream.readline():
            return False
        fields = {}
        for raw in iter(stream.readline, b"\r\n"):
            name, _, value = raw.decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        body = stream.read(int(fields["content-length"]))
        answer = self._take(fields[protocol.RUNNER_HEADER.lower()], body, fields[protocol.SIGNATURE_HEADER.lower()])
        status = "503 Service Unavailable" if answer is None else "200 OK"
        data = json.dumps(answer or {}).encode()
        sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return True

    def close(self) -> None:
        self._closed = True
        for sock in self._connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for thread in self._threads:
            thread.join()
        self._sock.close()


class Peer:
    """One server as one runner sees it. Records are stored in memory and acknowledged, unless told otherwise."""

    def __init__(self, python: str | list[str], bundle: str, root: Path, owner: int | None = None) -> None:
        """``python``: the interpreter, or the command line that starts it, as another account perhaps: ``owner``."""
        self._owner = owner
        self._command = [python] if isinstance(python, str) else python
        self.python = self._command[-1]
        self.bundle = bundle
        self.root = root
        self.key = secrets.token_bytes(32)
        self.runner = "r" + secrets.token_hex(6)
        self.records: list[tuple[str, Record]] = []  # (runner, record) in the order of arrival
        self.routes: list[str] = []
        self.messages: list[dict[str, Any]] = []
        self.hello: dict[str, Any] = {}
        self.versions: dict[str, Version] = {}
        self.is_storing = True
        self.is_answering = True
        self.is_ponging = True
        self.stop: list[list[int]] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.listener = ReportListener(self._take_report)
        self._count = 0
        self._counter: threading.Semaphore | None = None
        self.counted = 0

    # -- the channel

    def attach(
        self, *, url: str | None = "", limit: int = 2, linger_s: float = 20, orphan_s: float = 600, **more: Any
    ) -> None:
        """Open the channel and exchange hellos. ``url``: None for no reports, "" for our own listener.

        ``more``: further keys of the hello, such as ``silence_s`` and ``env``.
        """
        token = secrets.token_hex(8)
        self._process = subprocess.Popen(
            [*self._command, "-I", self.bundle, "attach", "--root", str(self.root), "--token", token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._skip_to(protocol.MARK + token + "\n")
        self.hello = {}
        self._reader = threading.Thread(target=self._read, args=(self._process,), name="channel-reader")
        self._reader.start()
        self.send(
            {
                "t": "hello",
                "v": protocol.VERSION,
                "server": "fake",
                "runner": self.runner,
                "key": self.key.hex(),
                "limit": limit,
                "url": self.listener.url if url == "" else url,
                "linger_s": linger_s,
                "orphan_s": orphan_s,
                **more,
            }
        )
        self.wait(lambda: self.hello, "the runner's hello")

    def attach_next(self, **settings: Any) -> None:
        """Attach, with the name of a next runner for the case that the last one is gone."""
        self.runner = "r" + secrets.token_hex(6)
        self.attach(**settings)

    def is_attached(self) -> bool:
        return self._process is not None

    def _skip_to(self, mark: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        seen = b""
        while not seen.endswith(mark.encode()):
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                assert self._process.stderr is not None
                raise Nothing(f"attach ended: {self._process.stderr.read().decode()}")
            seen += byte

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        decoder = Decoder()
        while data := os.read(process.stdout.fileno(), 1 << 18):
            for message in decoder.feed(data):
                self._hear(message)
        with self._changed:
            self.messages.append({"t": "end of channel"})
            self._changed.notify_all()

    def _hear(self, message: dict[str, Any]) -> None:
        with self._changed:
            if message["t"] == "hello":
                self.hello = message
            elif message["t"] == "records":
                self._take_records(message["runner"], message["records"], "channel")
            self.messages.append(message)
            self._changed.notify_all()
        if message["t"] == "ping" and self.is_ponging:
            with contextlib.suppress(BrokenPipeError, Detached):
                self.send({"t": "pong", "n": message["n"]})
        if message["t"] == "records" and self.is_storing:
            last = max(row[0] for row in message["records"])
            with contextlib.suppress(BrokenPipeError, Detached):  # then they come again
                self.send({"t": "stored", "runner": message["runner"], "seq": last})

    def send(self, message: dict[str, Any]) -> None:
        self._send_bytes(protocol.encode(message))

    def _send_bytes(self, data: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.closed:
            raise Detached
        process.stdin.write(data)
        process.stdin.flush()

    def detach(self) -> None:
        """Cut the channel as a lost connection does."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def wait_until_left(self) -> None:
        """Wait until the runner has closed the channel."""
        self.wait(lambda: self.messages and self.messages[-1]["t"] == "end of channel", "the end of the channel")

    # -- reports

    def _take_report(self, runner: str, body: bytes, signature: str) -> dict[str, Any] | None:
        if not self.is_answering:
            return None
        assert protocol.signed_by(self.key, body, signature)
        if self._counter is not None:
            return self._count_report(body)
        report = json.loads(body)
        assert report["v"] == protocol.VERSION
        assert report["runner"] == runner
        with self._changed:
            self._take_records(runner, report["records"], "http")
            self._changed.notify_all()
        stop, self.stop = self.stop, []
        return {"stored": max(row[0] for row in report["records"]), "stop": stop}

    def _count_report(self, body: bytes) -> dict[str, Any]:
        self.counted += body.count(b',"end",')
        assert self._counter is not None
        self._counter.release()
        return {"stored": max(int(seq) for seq in re.findall(rb'\[(\d+),"', body[-40000:])), "stop": []}

    def _take_records(self, runner: str, rows: list[Any], route: str) -> None:
        for record in protocol.decode_records(rows):
            self.records.append((runner, record))
            self.routes.append(route)

    # -- what a server would do

    def publish(
        self, job_type: str, version: int, files: dict[str, str], *, exclusive: bool = False, **settings: Any
    ) -> str:
        """Put a version into the root and tell the runner; its ref."""
        staged = self.root / "stage" / f"{job_type}-{version}"
        for name, text in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if self._owner is not None:
            for path in (staged.parent, staged, *staged.rglob("*")):
                os.chown(path, self._owner, self._owner)
        whole = digest.of_folder(str(staged))
        folder = f"versions/{job_type}/{version}-{whole[:16]}"
        self.verb("seal", f"stage/{job_type}-{version}", folder, whole)
        ref = f"{job_type}@{version}"
        settings = {"timeout_s": None, "env": {}, "fresh_process": False, "max_jobs_per_worker": 0, **settings}
        self.know(ref, Version(job_type, version, folder, whole, **settings), exclusive=exclusive)
        return ref

    @property
    def next_job(self) -> int:
        """The id the next job gets."""
        return self._count + 1

    def know(self, ref: str, version: Version, *, exclusive: bool = False) -> None:
        self.versions[ref] = version
        self.send({"t": "versions", "versions": {ref: list(version)}, "exclusive": [ref] if exclusive else []})

    def verb(self, name: str, *arguments: str) -> dict[str, Any]:
        """Run a verb of the bundle to its end; its JSON answer."""
        done = subprocess.run(
            [*self._command, "-I", self.bundle, name, "--root", str(self.root), *arguments],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise Nothing(f"{name} ended with {done.returncode}: {done.stderr.decode()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def assign(self, ref: str, *inputs: Any, attempt: int = 1) -> list[int]:
        """Assign one job for each input (a list of args, or a dict of kwargs); their ids."""
        first = self._count + 1
        self._count += len(inputs)
        jobs = [
            list(Assignment(first + at, attempt, ref, json.dumps(_input(value)))) for at, value in enumerate(inputs)
        ]
        self.send({"t": "assign", "jobs": jobs})
        return list(range(first, first + len(inputs)))

    def count_only(self, done: threading.Semaphore) -> None:
        """From now on records are counted, not kept: what a bench needs."""
        self._counter = done

    def assign_same(self, ref: str, count: int) -> None:
        """Assign many equal jobs cheaply."""
        first = self._count + 1
        self._count += count
        tail = f',1,"{ref}",' + json.dumps(json.dumps(_input(1))) + "]"
        jobs = ",".join(f"[{job}{tail}" for job in range(first, first + count))
        body = f'{{"t":"assign","jobs":[{jobs}]}}'.encode()
        self._send_bytes(len(body).to_bytes(4, "big") + body)

    # -- what tests ask

    def wait(self, condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """Wait for a condition on what we were told."""
        until = time.monotonic() + deadline_s
        with self._changed:
            while not (found := condition()):
                left = until - time.monotonic()
                if left <= 0:
                    raise Nothing(f"{what} did not come; records {self.records[-5:]}, messages {self.messages[-5:]}")
                self._changed.wait(min(left, 0.05))
            return found

    def ends(self, jobs: Iterable[int], deadline_s: float = DEADLINE_S) -> dict[int, dict[str, Any]]:
        """The bodies of the end records of these jobs, once all are here."""
        wanted = set(jobs)
        self.wait(lambda: wanted <= self.of_kind("end").keys(), f"the ends of {sorted(wanted)[:9]}", deadline_s)
        return {job: body for job, body in self.of_kind("end").items() if job in wanted}

    def end(self, job: int, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        return self.ends([job], deadline_s)[job]

    def of_kind(self, kind: str) -> dict[int, dict[str, Any]]:
        """The first body of this kind for each job."""
        found: dict[int, dict[str, Any]] = {}
        for _, record in self.records:
            if record.kind == kind:
                found.setdefault(record.job, record.body)
        return found

    def all_ends(self) -> dict[int, set[str]]:
        """Every different body of an end record, by job."""
        found: dict[int, set[str]] = {}
        for _, record in self.records:
            if record.kind == "end":
                found.setdefault(record.job, set()).add(json.dumps(record.body, sort_keys=True))
        return found

    def troubles(self) -> list[str]:
        return [message["reason"] for message in self.messages if message["t"] == "trouble"]

    def results(self, jobs: Sequence[int]) -> list[Any]:
        """The results of these jobs, in their order."""
        ends = self.ends(jobs)
        return [json.loads(ends[job]["result"]) if ends[job]["ok"] else ends[job] for job in jobs]

    def close(self) -> None:
        """Cut the channel, remove the runner and its root, end our threads."""
        self.detach()
        if self.root.exists():
            self.verb("purge")
        self.listener.close()


def _input(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"args": [], "kwargs": value}
    return {"args": list(value) if isinstance(value, (list, tuple)) else [value], "kwargs": {}}
