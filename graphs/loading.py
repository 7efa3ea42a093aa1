"""Load what a person wrote, by its place: ``file.py:name`` or ``package.module:name``."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from typing import Any


def load_object(place: str, folder: str | Path = ".") -> Any:
    """What is called ``name`` in the file or module of ``place``; files and modules are looked for in ``folder``.

    Raises:
        ImportError, AttributeError, OSError: there is nothing.
    """
    source, _, name = place.rpartition(":")
    return getattr(load_module(source, folder), name)


def load_module(source: str, folder: str | Path = ".") -> Any:
    """The module named ``source``, or the one in a file whose name ends in ``.py``; it may import its neighbours.

    Raises:
        ImportError, OSError: there is none.
    """
    if not source.endswith(".py"):
        sys.path.insert(0, str(Path(folder).absolute()))
        return import_module(source)
    file = (Path(folder) / source).absolute()
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.exists():
        raise ImportError(f"there is no file {file}")
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever somebody's code does while it is read
        line = extract_tb(error.__traceback__)[-1]
        at = "" if isinstance(error, SyntaxError) else f" ({line.filename}, line {line.lineno})"
        raise ImportError(f"{type(error).__name__}: {error}{at}") from error
    return module
