"""Where a chat's lines come from: a terminal with history and editing, or a pipe, whose lines are shown."""

import sys

import typer


class Lines:
    """What the person types, line by line."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty()
        if self.is_terminal:
            import readline  # noqa: F401  # gives input() history and editing

    def read(self, prompt: str, prefill: str = "") -> str | None:
        """The next line, without what surrounds it; None at the end. On a terminal ``prefill`` can be edited."""
        if not self.is_terminal:
            line = sys.stdin.readline()
            typer.echo(f"{prompt}{line.rstrip()}".rstrip())
            return line.strip() if line else None
        try:
            return (self._edited(prompt, prefill) if prefill else input(prompt)).strip()
        except EOFError:
            typer.echo()
            return None

    @staticmethod
    def _edited(prompt: str, prefill: str) -> str:
        import readline

        readline.set_startup_hook(lambda: readline.insert_text(prefill))
        try:
            return input(prompt)
        finally:
            readline.set_startup_hook()
