"""bounded_log.BoundedLog: however much is written, two files of the bound's size at most."""

from pathlib import Path

from orchestrator.bounded_log import BoundedLog


def test_the_newest_output_is_kept_within_the_bound(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "logs" / "a.log", limit_bytes=100)
    for number in range(1000):
        log.write(f"line {number}\n".encode())
    log.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert b"line 999\n" in files[0].read_bytes()


def test_one_enormous_piece_is_cut_to_its_end(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log", limit_bytes=10)
    log.write(b"x" * 100 + b"the end")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"xxxthe end"
