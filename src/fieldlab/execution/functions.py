"""The function tool: a Python callable that takes the parameters as keywords.

It is named, or *shipped*: a function of a notebook's cell or of a script lies as a pickle in the
lab's own folder, see decision 15.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from fieldlab.domain.errors import BadInput, nearest
from fieldlab.domain.marks import MARK
from fieldlab.execution.modules import load_module, make_importable

_KEY = ("tool", "function")
#: the kinds of tool that are called in the worker's own process
FUNCTION_KINDS = frozenset({"function", "shipped"})


def load_function(call: str, folder: str) -> Callable[..., object]:
    """Import the callable that a definition names.

    Parameters
    ----------
    call
        ``package.module:callable``, ``file.py:callable``, or ``file.py`` for the one function in it
        that is decorated with ``@fieldlab.tool``.
    folder
        Where files are looked up, and the first place where modules are.

    Raises
    ------
    BadInput
        There is no such module, file or callable, or importing it fails.
    """
    module_name, _, attribute = call.partition(":")
    make_importable(folder)
    module = load_module(module_name, folder, call, _KEY)
    if not attribute:
        return _decorated(module, call)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            names = [name for name in dir(target) if callable(getattr(target, name))]
            raise BadInput(
                f"'{module_name}' has no '{part}'",
                remedy=nearest(part, names) or "Name a function that it defines",
                key=_KEY,
            )
        target = getattr(target, part)
    if not callable(target):
        raise BadInput(f"'{call}' is not callable", remedy="Name a function", key=_KEY)
    function: Callable[..., object] = target
    return function


def shipped_file(source: str, functions: Path) -> Path:
    """Name the file of a shipped function: by the digest of its source, in the lab's own folder.

    Raises
    ------
    BadInput
        That is no digest.
    """
    if not re.fullmatch(r"[0-9a-f]{20}", source):
        raise BadInput(f"'{source}' names no shipped function", key=_KEY)
    return functions / f"{source}.pickle"


def load_shipped(options: Mapping[str, str], functions: str, folder: str) -> Callable[..., object]:
    """Load a function that a script or a notebook has left in the lab's folder.

    Parameters
    ----------
    options
        ``function``, its name, and ``source``, the digest of its source.
    functions
        The lab's folder of shipped functions: a pickle is loaded from nowhere else.
    folder
        Where modules that it uses are looked up first.

    Raises
    ------
    BadInput
        It isn't there, or can't be loaded.
    """
    import cloudpickle

    name, path = options["function"], shipped_file(options["source"], Path(functions))
    make_importable(folder)
    again = "Run the script or the notebook that it comes from again"
    try:
        function, file, lines = cloudpickle.loads(path.read_bytes())
    except FileNotFoundError:
        what = f"The function '{name}' isn't in the lab's folder: there is no {path}"
        raise BadInput(what, remedy=again, key=_KEY) from None
    except Exception as error:
        what = f"The function '{name}' can't be loaded from {path}: {type(error).__name__}: {error}"
        missing = isinstance(error, ModuleNotFoundError)
        remedy = "Modules that it imports must lie beside the script, or be installed"
        raise BadInput(what, remedy=remedy if missing else again, key=_KEY) from error
    if lines:  # of a notebook's cell
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    innermost = innermost_of(function)
    if isinstance(innermost, FunctionType):
        innermost.__code__ = _placed(innermost.__code__, file)
    loaded: Callable[..., object] = function
    return loaded


def innermost_of(function: Any) -> Any:
    """Take partial applications and bindings off a function."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        else:
            return function


def _placed(code: CodeType, file: str) -> CodeType:
    """Say in which file code stands, for tracebacks: a pickle doesn't tell."""
    inner = (_placed(each, file) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=file, co_consts=tuple(inner))


def _decorated(module: ModuleType, call: str) -> Callable[..., object]:
    marked: list[Callable[..., object]] = [
        value
        for value in vars(module).values()
        if callable(value) and getattr(value, MARK, False) and value.__module__ == module.__name__
    ]
    if len(marked) == 1:
        return marked[0]
    found = "no function" if not marked else f"{len(marked)} functions"
    raise BadInput(
        f"'{call}' has {found} with the decorator @fieldlab.tool",
        remedy=f"Name one: `{call}:callable`",
        key=_KEY,
    )


def _remedy(name: str, accepted: Mapping[str, inspect.Parameter], free: Collection[str]) -> str:
    if name in accepted and accepted[name].kind is inspect.Parameter.POSITIONAL_ONLY:
        return f"'{name}' is positional-only there; wrap it in a function that takes it by name"
    return nearest(name, free) or f"Add '{name}' to its signature"


def check_signature(function: Callable[..., object], parameters: Sequence[str]) -> bool:
    """Check that the parameters fit the function; say whether it also wants the repeat.

    Returns
    -------
    bool
        The function has a parameter ``repeat`` and gets the number of the repeat, from 1.

    Raises
    ------
    BadInput
        The signature lacks a parameter, or demands one that the space doesn't have.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # some built-in functions don't tell
    accepted = signature.parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    named = {
        name
        for name, each in accepted.items()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    label = getattr(function, "__qualname__", repr(function))
    for name in parameters:
        if name not in named and not open_ended:
            raise BadInput(
                f"{label}{signature} doesn't take the parameter '{name}' of the space",
                remedy=_remedy(name, accepted, named - set(parameters)),
                key=("space", name),
            )
    needed = {
        name
        for name, each in accepted.items()
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    missing = sorted(needed - set(parameters) - {"repeat"})
    if missing:
        raise BadInput(
            f"{label}{signature} needs {', '.join(missing)}, which the space doesn't have",
            remedy="Add an axis of that name, or give the parameter a default",
            key=_KEY,
        )
    return "repeat" in named and "repeat" not in parameters
