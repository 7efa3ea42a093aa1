"""The ``threadmill`` command: puts the groups together and turns our errors into one line on stderr."""

import sys

import typer

from ..errors import ThreadmillError
from . import (
    agents_list,
    batch,
    canary,
    chat,
    credit,
    evaluate,
    export,
    gate,
    improve,
    memories,
    models,
    quickstart,
    replays,
    rewards,
    rollout,
    run,
    screen,
    status,
    threads,
    train,
)

app = typer.Typer(
    name="threadmill",
    help="Turn the threads of a LangGraph agent into a better model for that same agent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("quickstart")(quickstart.quickstart_command)
app.command("run")(run.run_command)
app.command("chat")(chat.chat_command)
app.command("batch")(batch.batch_command)
app.command("agents")(agents_list.agents_command)
app.command("rollout")(rollout.rollout_command)
app.add_typer(threads.app, name="threads")
app.add_typer(memories.app, name="memories")
app.add_typer(export.app, name="export")
app.add_typer(train.app, name="train")
app.add_typer(credit.app, name="credit")
app.add_typer(rewards.app, name="rewards")
app.command("eval")(evaluate.evaluate_command)
app.command("replays")(replays.replays_command)
app.command("screen")(screen.screen_command)
app.command("gate")(gate.gate_command)
app.command("improve")(improve.improve_command)
app.add_typer(models.app, name="models")
app.add_typer(canary.app, name="canary")
app.command("status")(status.status_command)


def main() -> None:
    """Run the command; our own errors exit with 1, wrong usage with 2, Ctrl-C with 130."""
    try:
        app()
    except ThreadmillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not any(kind.__name__ == "OperationalError" for kind in type(error).__mro__):
            raise
        said = str(getattr(error, "orig", None) or error).strip()  # without the SQL
        print(f"error: the database says: {said}; what was finished is kept{_hint(said)}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if isinstance(getattr(stop.__context__, "__cause__", None), KeyboardInterrupt):  # and the command said nothing
            print("stopped; what was finished is kept, start the same command again to go on", file=sys.stderr)
        raise


def _hint(said: str) -> str:
    if "locked" in said:
        return "; another program writes to it: wait for that one, or end it, and start the same command again"
    if "readonly" in said:
        return "; give this user the right to write to it and to its folder, or name another one with --db"
    return ""


if __name__ == "__main__":
    main()
