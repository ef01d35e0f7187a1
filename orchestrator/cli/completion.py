"""``mj completion``: what a shell needs to complete commands, options and names (which ``names`` finds)."""

from typing import Final

import click

from orchestrator.cli.shell import Command

VARIABLE: Final = "_MJ_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print what makes your shell complete mj.

    Commands, options and names. Job types, machines and batches are asked of the server. Put the line into your
    shell's rc file:

    \b
    bash   eval "$(mj completion bash)"     in ~/.bashrc
    zsh    eval "$(mj completion zsh)"      in ~/.zshrc
    fish   mj completion fish | source      in ~/.config/fish/config.fish

    \b
    mj completion bash >> ~/.bash_completion
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    click.echo(kind(ctx.find_root().command, {}, "mj", VARIABLE).source())


COMMANDS: Final = (completion,)
