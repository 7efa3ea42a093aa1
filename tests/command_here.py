"""The ``threadmill`` command, run in this process: another one would import its libraries anew for every line."""

import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import pytest
from threadmill.cli.main import main


def threadmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What it printed, and its exit code."""
    out, err = StringIO(), StringIO()
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["threadmill", *arguments])
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return subprocess.CompletedProcess(arguments, code or 0, out.getvalue(), err.getvalue())
