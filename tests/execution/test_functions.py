"""Finding the function that a definition names, and checking that it fits the space."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldlab.domain.errors import BadInput
from fieldlab.execution.functions import check_signature, load_function
from fieldlab.execution.local import LocalExecutor
from tests.execution.staging import function_setup, run_batches


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test imported, and where from."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.fixture
def study(folder: Path) -> Path:
    """A definition's folder with a module, a package, and a file."""
    (folder / "probe.py").write_text(
        "import sibling\n"
        "LIMIT = 3\n"
        "def measure(x): return sibling.double(x)\n"
        "def measure_all(x): return [x]\n"
        "class Bench:\n"
        "    def run(self, x): return ['method', x]\n"
        "    @staticmethod\n"
        "    def quick(x): return ['static', x]\n"
        "bench = Bench()\n"
    )
    (folder / "sibling.py").write_text("def double(x): return 2 * x\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "inner.py").write_text("def measure(x): return -x\n")
    (folder / "two words.py").write_text("def measure(x): return x + 0.5\n")
    return folder


@pytest.mark.parametrize(
    ("call", "returned"),
    [
        ("probe:measure", 8),
        ("probe.py:measure", 8),
        ("probe.py:bench.run", ["method", 4]),
        ("probe:Bench.quick", ["static", 4]),
        ("deep.inner:measure", -4),
        ("deep/inner.py:measure", -4),
        ("two words.py:measure", 4.5),
        ("math:sqrt", 2.0),
    ],
)
def test_functions_are_found(study: Path, call: str, returned: object) -> None:
    function = load_function(call, str(study))
    assert (function(4) if call == "math:sqrt" else function(x=4)) == returned


def test_a_definition_in_another_folder_finds_its_own_files(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = study / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sibling.py").write_text("def double(x): return 'the wrong one'\n")
    monkeypatch.chdir(elsewhere)
    assert load_function("probe:measure", str(study))(x=4) == 8


@pytest.mark.parametrize(
    ("call", "what", "remedy"),
    [
        ("probe:mesure", "'probe' has no 'mesure'", "Did you mean 'measure'?"),
        ("probe.py:mesure", "has no 'mesure'", "Did you mean 'measure'?"),
        ("probe:qqq", "has no 'qqq'", "Name a function"),
        ("probe:bench.walk", "has no 'walk'", "Name a function"),
        ("probe:bench.rum", "has no 'rum'", "Did you mean 'run'?"),
        ("probe:LIMIT", "'probe:LIMIT' is not callable", "Name a function"),
        ("prob.py:measure", "There is no file .*prob.py", "Did you mean 'probe.py'?"),
        ("nowhere/probe.py:measure", "There is no file", ""),
        ("no_such_module:f", "ModuleNotFoundError: No module named 'no_such_module'", "file"),
        ("probe.py", "has no function with the decorator", "`probe.py:callable`"),
        ("probe", "has no function with the decorator", "`probe:callable`"),
    ],
)
def test_what_is_not_there_is_explained(study: Path, call: str, what: str, remedy: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        load_function(call, str(study))
    [problem] = caught.value.problems
    assert problem.key == ("tool", "function")
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("source", "what", "remedy"),
    [
        ("import no_such_thing", "No module named 'no_such_thing'", "Install what is missing"),
        ("1 / 0", "ZeroDivisionError: division by zero", "Mend the module"),
        ("def f(:", "SyntaxError", "Mend the module"),
        ("raise SystemExit(3)", "SystemExit: 3", "Mend the module"),
        ("x = '\udce9'".encode("utf-8", "surrogateescape").decode("latin-1"), "no 'f'", ""),
    ],
)
def test_a_module_that_cannot_be_imported_is_explained(
    folder: Path, source: str, what: str, remedy: str
) -> None:
    (folder / "broken.py").write_text(source)
    with pytest.raises(BadInput, match=what) as caught:
        load_function("broken.py:f", str(folder))
    assert remedy in caught.value.problems[0].remedy


@pytest.mark.parametrize(
    ("source", "returned"),
    [
        ("import fieldlab\n@fieldlab.tool\ndef f(x): return x\ndef g(x): ...", 4),
        ("from fieldlab import tool\n@tool\nclass F:\n    def __init__(self, x): ...", None),
        ("from helper import marked\nfrom fieldlab import tool\n@tool\ndef f(x): return -x", -4),
    ],
)
def test_the_decorated_function_is_found(folder: Path, source: str, returned: object) -> None:
    (folder / "helper.py").write_text("import fieldlab\n@fieldlab.tool\ndef marked(x): ...\n")
    (folder / "study.py").write_text(source)
    found = load_function("study.py", str(folder))(x=4)
    assert found == returned or returned is None


def test_several_decorated_functions_are_too_many(folder: Path) -> None:
    marked = "@fieldlab.tool\ndef {}(x): ...\n"
    (folder / "study.py").write_text("import fieldlab\n" + marked.format("f") + marked.format("g"))
    with pytest.raises(BadInput, match="has 2 functions with the decorator"):
        load_function("study.py", str(folder))


class Instrument:
    def __call__(self, x: int, y: int = 0) -> None: ...

    def method(self, x: int, repeat: int) -> None: ...


def takes_x(x: int) -> None: ...
def takes_default(x: int, y: int = 0, *, z: int = 0) -> None: ...
def takes_all(**everything: int) -> None: ...
def takes_rest(x: int, *more: int, **everything: int) -> None: ...
def takes_repeat(x: int, repeat: int) -> None: ...
def takes_repeat_maybe(x: int, *, repeat: int = 1) -> None: ...
def takes_position(x: int, /) -> None: ...
def takes_name(*, x: int) -> None: ...
def takes_density(density: float) -> None: ...


@pytest.mark.parametrize(
    ("function", "names", "wants_repeat"),
    [
        (takes_x, ["x"], False),
        (takes_default, ["x"], False),
        (takes_default, ["x", "y", "z"], False),
        (takes_all, ["x", "y"], False),
        (takes_rest, ["x", "y"], False),
        (takes_repeat, ["x"], True),
        (takes_repeat_maybe, ["x"], True),
        (takes_name, ["x"], False),
        (Instrument(), ["x", "y"], False),
        (Instrument().method, ["x"], True),
        (functools.partial(takes_repeat, repeat=3), ["x"], True),
        (functools.partial(takes_default, 1), ["y"], False),
        (functools.partial(takes_default, z=1), ["x", "y"], False),
        (dict, ["x"], False),
        (Instrument, [], False),
    ],
)
def test_a_function_that_fits(
    function: Callable[..., object], names: list[str], wants_repeat: bool
) -> None:
    assert check_signature(function, names) is wants_repeat


@pytest.mark.parametrize(
    ("function", "names", "what", "remedy", "key"),
    [
        (takes_x, ["x", "y"], "doesn't take the parameter 'y'", "Add 'y'", ("space", "y")),
        (takes_density, ["denstiy"], "'denstiy'", "Did you mean 'density'?", ("space", "denstiy")),
        (takes_default, ["y"], "needs x, which the space", "a default", ("tool", "function")),
        (takes_rest, ["y"], "needs x", "Add an axis", ("tool", "function")),
        (
            takes_position,
            ["x"],
            "doesn't take the parameter 'x'",
            "positional-only",
            ("space", "x"),
        ),
        (Instrument().method, ["y"], "doesn't take", "Add 'y'", ("space", "y")),
        (takes_x, [], "needs x", "Add an axis", ("tool", "function")),
        (functools.partial(takes_x, 1), ["x"], "'x'", "", ("space", "x")),
    ],
)
def test_a_function_that_does_not_fit_is_explained(
    function: Callable[..., object],
    names: list[str],
    what: str,
    remedy: str,
    key: tuple[str, ...],
) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        check_signature(function, names)
    [problem] = caught.value.problems
    assert remedy in problem.remedy
    assert problem.key == key


@pytest.mark.parametrize(
    ("source", "call", "row"),
    [
        ("def work(**point): return {'y': sorted(point)}", "work", {"y": '["a", "x"]'}),
        ("def work(x, a, more=7): return {'y': more}", "work", {"y": 7}),
        ("class Work:\n    def __init__(self, x, a): self.y = x", "Work", None),
        (
            "class Work:\n    def at(self, x, a): return {'y': x}\nwork = Work()",
            "work.at",
            {"y": 2},
        ),
        (
            "from functools import partial\n"
            "def base(x, a, scale): return {'y': x * scale}\n"
            "work = partial(base, scale=10)",
            "work",
            {"y": 20},
        ),
        (
            "from dataclasses import dataclass\n"
            "@dataclass\nclass Work:\n    x: int\n    a: str\n    y: int = 5",
            "Work",
            {"y": 5},
        ),
    ],
)
def test_callables_of_any_kind_run(
    folder: Path, source: str, call: str, row: dict[str, Any] | None
) -> None:
    space = {"matrix": {"x": [2], "a": ["b"]}}
    setup = function_setup(folder, source, space, call=f"study.py:{call}")
    ran = run_batches(LocalExecutor(1), setup, [[0]])
    if row is None:
        assert "study.Work, which can't be recorded" in ran.records[0].error
    else:
        assert ran.rows_of(0) == [{"x": 2, "a": "b", **row}]
