"""Python and bash for a model: code in, what it printed out; it runs in a sandbox or not at all."""

from inspect import signature
from typing import Any

from langchain_core.tools import BaseTool, ToolException, tool

from ...errors import NoSandbox
from ..traits import with_traits
from .sandbox import Language, Ran, Sandbox, find_sandbox

AFTER_S = 30
"""What a call may take besides the time of the code itself: for Docker to make a container, start it and remove it."""
AT_ONCE = 4
SIGNALS = {128 + 9: "killed", 128 + 24: "out of processor time", 128 + 25: "a file grew too large"}


def make_python(**settings: Any) -> BaseTool:
    """A tool that runs Python code; ``settings`` are those of :class:`Sandbox`.

    Raises:
        NoSandbox: no sandbox works here.
        BadConfig: a setting makes no sense.
    """
    sandbox = Sandbox(**settings)
    box = find_sandbox(sandbox, "python")

    @tool(parse_docstring=True)
    def python(code: str) -> str:
        """Run Python code and see what it prints.

        Args:
            code: A complete program; only what it prints is seen. There is no network.
        """
        return _run(box, "python", code, sandbox)

    return _described(python, sandbox)


def make_bash(**settings: Any) -> BaseTool:
    """A tool that runs a bash script; ``settings`` are those of :class:`Sandbox`.

    Raises:
        NoSandbox: no sandbox works here.
        BadConfig: a setting makes no sense.
    """
    sandbox = Sandbox(**settings)
    box = find_sandbox(sandbox, "bash")

    @tool(parse_docstring=True)
    def bash(script: str) -> str:
        """Run a bash script and see what it prints.

        Args:
            script: The script. There is no network and no input.
        """
        return _run(box, "bash", script, sandbox)

    return _described(bash, sandbox)


for _make in (make_python, make_bash):
    _make.__signature__ = signature(Sandbox)  # pyright: ignore[reportFunctionMemberAccess]  # what a file may set


def _described(bare: BaseTool, sandbox: Sandbox) -> BaseTool:
    """``bare`` with its traits, and with a word about its files."""
    files = "are kept for the next call" if sandbox.folder else "are gone after the call"
    description = f"{bare.description.rstrip()}\n\nIt starts in /work; files there {files}."
    # Without a folder nothing outside can change, whatever the code is and whoever wrote it.
    return with_traits(
        bare.model_copy(update={"description": description}),
        acts=sandbox.folder is not None,
        idempotent=sandbox.folder is None,
        timeout_s=sandbox.time_s + AFTER_S,
        at_once=AT_ONCE,
    )


def _run(box: Any, language: Language, code: str, sandbox: Sandbox) -> str:
    try:
        return told(box.run(language, code, sandbox))
    except NoSandbox as reason:
        raise ToolException(f"nothing ran: {reason}") from reason


def told(ran: Ran) -> str:
    """What a model reads about a run; no duration, so that the same is said of the same.

    >>> print(told(Ran(status=1, output="", errors="no such file", seconds=0.5)))
    exit status 1
    errors:
    no such file
    """
    if ran.stopped:
        parts = [f"stopped: {ran.stopped}"]
    else:
        why = f" ({SIGNALS[ran.status]})" if ran.status in SIGNALS else ""
        parts = [f"exit status {ran.status}{why}"]
    parts += [f"output:\n{ran.output.rstrip()}"] if ran.output.strip() else []
    parts += [f"errors:\n{ran.errors.rstrip()}"] if ran.errors.strip() else []
    parts += ["files in /work:\n" + "\n".join(ran.written)] if ran.written else []
    return "\n".join(parts)
