"""The `nightdesk` command. Each subcommand is a module of its own, imported when it is called, so that `nightdesk
migrate` does not wait for the libraries of `nightdesk replay`."""

from __future__ import annotations

import importlib
import sys

import click

_COMMANDS = {
    "account": ("cli.account", "Make an account and its first administrator."),
    "admin": ("cli.account", "Make one more administrator of an account."),
    "migrate": ("cli.migrate", "Bring the database up to this release."),
    "policy": ("cli.policy", "Keep all that decides who is asked in a file."),
    "rebuild": ("cli.rebuild", "Fold every projection anew from the log and put it in place."),
    "reference": ("cli.reference", "Write the reference pages under docs/reference from the code."),
    "replay": (
        "cli.replay.command",
        "Play transcripts through the public API and keep a ledger.",
    ),
    "seed": ("cli.seed", "Make the demo account."),
    "selfcheck": ("cli.selfcheck", "Send one message on its real way and tell the milliseconds."),
    "status": ("cli.status", "Ask every service of the running stack whether it is ready."),
    "verify": (
        "cli.verify",
        "Fold every projection beside the live one and print the differences.",
    ),
    "whatif": ("cli.whatif", "Fold the log under another policy, beside what happened."),
}
"""Name to (module with a click command of that name, help)."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_COMMANDS.items())])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Nightdesk: a message platform for customer service that never loses a message while people are away."""


if __name__ == "__main__":
    sys.exit(main(prog_name="nightdesk"))
