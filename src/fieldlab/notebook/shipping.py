"""Functions as tools: by name where a worker can import them, otherwise shipped as a pickle.

Functions of a notebook's cell or of a script, lambdas and closures have no name that another
process could import them by. They are pickled by value (cloudpickle) into the lab's own folder,
under a digest of their source, see decision 15.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import canonical, digest, uuid7
from fieldlab.domain.syntax import parse_module
from fieldlab.execution.functions import innermost_of, shipped_file

#: closures that are looked into, one inside the other
_DEEPEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A function as a tool, and the folder that its modules are imported from."""

    tool: ToolSpec
    folder: Path
    #: the function itself if it has to be shipped
    shipped: Callable[..., object] | None = None

    def ship(self, functions: Path) -> None:
        """Leave the function in the lab's folder, for this run's workers and for any later one.

        Raises
        ------
        BadInput
            It, or something that it uses, can't be pickled.
        """
        if self.shipped is not None:
            path = shipped_file(self.tool.options["source"], functions)
            _write(path, _pickled(self.shipped, self.tool.options["function"]))


def callee_of(function: object) -> Callee:
    """Say how workers are to find a function.

    Raises
    ------
    BadInput
        It isn't callable.
    """
    if not callable(function):
        raise BadInput(
            f"{function!r} is neither a function nor the path of a definition",
            remedy="Give a function that takes the parameters as keywords",
            key=("function",),
        )
    named = _named(function)
    if named is not None:
        return named
    name = getattr(innermost_of(function), "__qualname__", type(function).__name__)
    options = {"function": name, "source": digest(list(_identity(function, 0)))}
    return Callee(
        tool=ToolSpec(kind="shipped", options=options),
        folder=_folder_of(function),
        shipped=function,
    )


# --- by name -----------------------------------------------------------------------------------


def _named(function: Callable[..., object]) -> Callee | None:
    """Refer to a function by name, as a definition does; None if nobody could import it so."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    path = getattr(function, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or not path or "<" in path:
        return None
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    file = getattr(module, "__file__", None)
    if found is not function or file is None:
        return None
    folder = Path(file).resolve().parents[module.__name__.count(".")]
    if Path(file).name == "__init__.py":
        folder = folder.parent
    installed = folder.is_relative_to(sys.prefix) or folder.is_relative_to(sys.base_prefix)
    if installed:
        folder = Path.cwd()
    own = not installed and module.__name__ == Path(file).stem
    call = f"{Path(file).name if own else module.__name__}:{path}"
    return Callee(tool=ToolSpec(kind="function", options={"call": call}), folder=folder)


def _folder_of(function: Callable[..., object]) -> Path:
    """Find the folder of the script or module that a function stands in; else the working one."""
    module = sys.modules.get(getattr(innermost_of(function), "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return Path.cwd()
    return Path(file).resolve().parents[module.__name__.count(".")]


# --- identity ----------------------------------------------------------------------------------


def _identity(function: Any, depth: int) -> Iterator[Any]:
    """Give what makes a function this one: its source, and plain values that it carries.

    Globals that it uses aren't looked at.
    """
    if depth > _DEEPEST:
        return
    if isinstance(function, functools.partial):
        yield from _identity(function.func, depth + 1)
        yield [_carried(each, depth) for each in function.args]
        yield {name: _carried(each, depth) for name, each in function.keywords.items()}
        return
    if inspect.ismethod(function):
        yield from _identity(function.__func__, depth + 1)
        yield _carried(vars(function.__self__) if hasattr(function.__self__, "__dict__") else "", 0)
        return
    if not isinstance(function, FunctionType):
        yield _class_source(type(function))
        yield _carried(dict(getattr(function, "__dict__", {})), depth)
        return
    yield _source(function)
    yield [_carried(each, depth) for each in function.__defaults__ or ()]
    yield {name: _carried(each, depth) for name, each in (function.__kwdefaults__ or {}).items()}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield {name: _carried(_content(cell), depth) for name, cell in cells}


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty: the function that makes this one hasn't ended
        return None


def _carried(value: object, depth: int) -> object:
    """Write a value that a function carries: plain data as it is, a function by its source."""
    if isinstance(value, FunctionType | functools.partial):
        return list(_identity(value, depth + 1))
    try:
        canonical(value)
    except (TypeError, ValueError, RecursionError):
        return type(value).__qualname__
    return value


def _source(function: FunctionType) -> str:
    """Give a function's own text: of a lambda, that of the expression alone."""
    if function.__name__ == "<lambda>":
        return _lambda_source(function.__code__)
    try:
        return textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        return _code_text(function.__code__)


def _class_source(kind: type) -> str:
    try:
        return textwrap.dedent(inspect.getsource(kind)).strip()
    except (OSError, TypeError):
        return kind.__qualname__


def _lambda_source(code: CodeType) -> str:
    """Find the one lambda on its line; where there are several, their code tells them apart."""
    text = "".join(linecache.getlines(code.co_filename))
    try:
        tree = parse_module(text)
    except SyntaxError:  # a cell with a magic command
        return _code_text(code)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    return ast.unparse(found[0]) if len(found) == 1 else _code_text(code)


def _code_text(code: CodeType) -> str:
    """Write compiled code, for want of a source: it differs between versions of Python."""
    constants = [
        _code_text(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames))


# --- the pickle --------------------------------------------------------------------------------


def _pickled(function: Callable[..., object], name: str) -> bytes:
    import cloudpickle

    code = getattr(innermost_of(function), "__code__", None)
    file = code.co_filename if code is not None else ""
    # workers can read files, but not the cells of a notebook, which tracebacks are to show as well
    lines = [] if not file or Path(file).is_file() else linecache.getlines(file)
    try:
        pickled: bytes = cloudpickle.dumps((function, file, lines))
    except Exception as error:
        raise BadInput(
            f"The function '{name}' can't be sent to other processes: {type(error).__name__}:"
            f" {error}",
            remedy="Open files and connections, and make locks, inside the function",
            key=("function",),
        ) from error
    return pickled


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid7()}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
