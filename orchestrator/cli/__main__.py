"""``python -m orchestrator.cli`` is the same command."""

from orchestrator.cli import main

main(prog_name="mj")
