"""Importing what a user wrote: modules by name, files by path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from fieldlab.domain.errors import BadInput, nearest


def make_importable(folder: str) -> None:
    """Let modules be found in the working folder and in this one, which comes first."""
    for place in (str(Path.cwd()), folder):
        if place not in sys.path:
            sys.path.insert(0, place)


def load_module(name: str, folder: str, call: str, key: tuple[str | int, ...]) -> ModuleType:
    """Import a module by its name, or a file by its path from a folder.

    Parameters
    ----------
    call
        What the user wrote, for messages.
    key
        Where.

    Raises
    ------
    BadInput
        There is none, or importing it fails.
    """
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        path = Path(folder, name)
        if not path.is_file():
            near = nearest(path.name, [each.name for each in path.parent.glob("*.py")])
            raise BadInput(f"There is no file {path}", remedy=near, key=key)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise BadInput(f"{path} can't be imported", key=key)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # so that what it defines can be pickled
        spec.loader.exec_module(module)
        return module
    except BadInput:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        missing = isinstance(error, ModuleNotFoundError)
        raise BadInput(
            f"Importing '{call}' failed: {type(error).__name__}: {error}",
            remedy="Install what is missing, or name the file: `file.py:callable`"
            if missing
            else "Mend the module; `python -c 'import …'` shows the whole traceback",
            key=key,
        ) from error
