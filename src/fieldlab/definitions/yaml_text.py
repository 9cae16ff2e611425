"""YAML 1.2 with line numbers, in plain Python types."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from fieldlab.definitions.documents import DEEPEST, MOST_VALUES, too_deep, too_many, unreadable
from fieldlab.domain.errors import BadInput, Problem
from fieldlab.domain.fields import Key

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


class YamlPlaces:
    """Where things stand in a YAML text."""

    def __init__(self, root: Node | None) -> None:
        self._root = root

    def line(self, key: Key) -> int:
        return self._find(key)[0]

    def written(self, key: Key) -> str:
        node = self._find(key)[1]
        return str(node.value) if isinstance(node, ScalarNode) else ""

    def _find(self, key: Key) -> tuple[int, Node | None]:
        node = self._root
        line = _line(node) if node is not None else 1
        for part in key:
            found = next((entry for entry in _entries(node) if entry[0] == part), None)
            if found is None:
                break
            _, begins, node = found
            line = _line(begins)
        return line, node


def parse_yaml(text: str, file: str) -> tuple[Any, YamlPlaces, list[Problem]]:
    """Read a YAML text.

    Returns
    -------
    tuple
        The data, its places, and problems: keys that a mapping has twice, and values that can't be
        kept, for which None stands in the data.

    Raises
    ------
    BadInput
        It isn't YAML.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = partial(_Composer, file)  # type: ignore[assignment]  # called with a loader
    try:
        root = yaml.compose(StringIO(text))
        builder = _Builder(yaml.constructor, file)
        data = builder.build(root, ()) if root is not None else None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"not YAML: it has the control character U+{int(error.character):04X}"
        raise unreadable(file, what, "Remove it; it can't be seen in most editors", line) from None
    except MarkedYAMLError as error:
        raise _explained(error, file) from None
    except YAMLError as error:
        raise unreadable(file, f"not YAML: {error}", "Check what is written there") from None
    except RecursionError:
        raise too_deep(file) from None
    return data, YamlPlaces(root), builder.problems


class _Composer(Composer):
    """Makes nodes of a text, and stops where they are nested too deep to be of use."""

    def __init__(self, file: str, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # YAML allows them: the later one holds
        self._file = file
        self._nested = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._nested > DEEPEST:
            raise too_deep(self._file, int(self.parser.peek_event().start_mark.line) + 1)
        self._nested += 1
        node = super().compose_node(parent, index)
        self._nested -= 1
        return node


class _Builder:
    """Makes plain data of nodes, with bounds on what aliases can multiply up."""

    def __init__(self, constructor: SafeConstructor, file: str) -> None:
        self._constructor = constructor
        self._file = file
        self._count = 0
        self.problems: list[Problem] = []

    def build(self, node: Node, key: Key) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise too_many(self._file)
        if len(key) > DEEPEST:
            raise too_deep(self._file, _line(node))
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, key)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(item, (*key, place)) for place, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, key)
        return self._tagged(node, key)

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for name_node, value_node in node.value:
            if name_node.tag == _MERGE:
                continue
            name = self._name(name_node, key)
            if name in lines:
                what = f"the key '{name}' is there twice, first in line {lines[name]}"
                self._note(name_node, (*key, name), what, "Keep one of them")
            lines.setdefault(name, _line(name_node))
            data[name] = self.build(value_node, (*key, name))
        for other in _merged(node):
            if isinstance(other, MappingNode):
                merged = self.build(other, key)
                data = {**merged, **data}
            else:
                self._note(other, key, "'<<' merges mappings only", "Point it at a mapping: <<: *a")
        return data

    def _name(self, node: Node, key: Key) -> str:
        if not isinstance(node, ScalarNode):
            self._note(node, key, "a key is a list or mapping", "Write 'name: value'")
            return "?"
        name = str(node.value)
        if node.tag != f"{_TAG}str":
            remedy = f'Put it in quotes: "{name}"'
            self._note(node, (*key, name), f"the key {name or 'null'} is not text", remedy)
        return name

    def _scalar(self, node: ScalarNode, key: Key) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        text = str(node.value)
        try:
            if kind == "str":
                return text
            if kind in ("int", "float", "bool", "null"):
                return self._constructor.construct_object(node, deep=True)
        except (ValueError, KeyError, IndexError, YAMLError):
            remedy = "Write it in fewer digits, or in quotes if it is text"
            self._note(node, key, f"{text[:40]!r} can't be read as {kind}", remedy)
            return None
        if kind == "timestamp":
            self._note(node, key, f"YAML reads {text} as a date", f'Put it in quotes: "{text}"')
            return None
        return self._tagged(node, key)

    def _tagged(self, node: Node, key: Key) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        remedy = "Remove it; put text that begins with '!' in quotes"
        self._note(node, key, f"the tag {tag} has no meaning here", remedy)

    def _note(self, node: Node, key: Key, what: str, remedy: str) -> None:
        self.problems.append(Problem(what=what, remedy=remedy, key=key, line=_line(node)))


def _merged(node: MappingNode) -> Iterator[Node]:
    """Give the mappings that ``<<`` merges into one, the most important first."""
    for name, value in node.value:
        if name.tag == _MERGE:
            yield from value.value if isinstance(value, SequenceNode) else [value]


def _entries(node: Node | None) -> Iterator[tuple[str | int, Node, Node]]:
    """Go through a node's entries: key, the node where the entry begins, its value's node."""
    if isinstance(node, SequenceNode):
        for place, item in enumerate(node.value):
            yield place, item, item
    elif isinstance(node, MappingNode):
        for name, value in node.value:
            if name.tag != _MERGE:
                yield str(name.value), name, value
        for other in _merged(node):
            yield from _entries(other)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _explained(error: MarkedYAMLError, file: str) -> BadInput:
    problem = str(error.problem or error.context or "it can't be read")
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    begun = error.context_mark
    if begun is not None and begun.line + 1 != line:
        problem += f", {error.context} that begins in line {begun.line + 1}"
    for sign, remedy in _REMEDIES.items():
        if sign in problem:
            return unreadable(file, f"not YAML: {problem}", remedy, line)
    return unreadable(
        file, f"not YAML: {problem}", "Check indentation, brackets and quotes around it", line
    )


#: part of ruamel.yaml's message → what to do
_REMEDIES = {
    r"'\t'": "Indent with spaces; YAML allows no tabs there",
    "mapping values are not allowed": "Put text with ': ' in it in quotes, and indent keys alike",
    "unexpected end of stream": "Close the bracket or quote",
    "undefined alias": "Define it further up with &, or put text that begins with '*' in quotes",
    "cannot start any token": "Put text that begins with a special character in quotes",
    "another document": "Keep one document; write one file per experiment",
    "could not find expected ':'": "Write 'key: value', and put long text in quotes",
}
