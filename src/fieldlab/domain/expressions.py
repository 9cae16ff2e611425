"""Expressions over parameters: what ``exclude: ["pubs > 3 and not reliable"]`` may say.

The text is read with Python's own grammar and turned into closures from a white list of what it may
hold; nothing is ever handed to ``eval``. What is allowed can't run for long or need much memory:
there are no loops, powers are bounded, and only numbers can be multiplied.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fieldlab.domain import arithmetic
from fieldlab.domain.errors import BadExpression, nearest
from fieldlab.domain.ids import Value
from fieldlab.domain.syntax import parse_expression

#: longest expression, in characters
LONGEST_TEXT = 2000
#: how deep operators and brackets may be nested
DEEPEST_NESTING = 100
ALLOWED = (
    "Allowed are parameters, numbers, strings, lists, true, false, null, and, or, not, "
    "comparisons, in, + - * / // % **, a if b else c, and abs min max round int float len"
)

_Values = Mapping[str, Value]
_Getter = Callable[[_Values], Any]


class Expression:
    """A condition over the parameters of a point.

    Make one with :meth:`parse`; call it with a point to get True or False.

    Attributes
    ----------
    text
        As the user wrote it.
    names
        The parameters it mentions.
    """

    __slots__ = ("_get", "names", "text")

    def __init__(self, text: str, names: frozenset[str], get: _Getter) -> None:
        self.text = text
        self.names = names
        self._get = get

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    @classmethod
    def parse(cls, text: str, names: Iterable[str]) -> Expression:
        """Read an expression over the parameters ``names``.

        Raises
        ------
        BadExpression
            It can't be read, names no parameter, or says something that isn't allowed; the message
            holds the place, counted in characters from 1, and what to write instead.
        """
        reader = _Reader(text, frozenset(names))
        get = reader.read()
        return cls(text, frozenset(reader.mentioned), get)

    def __call__(self, point: _Values) -> bool:
        """Decide for a point.

        Raises
        ------
        BadExpression
            The values don't allow it (a string compared with a number, a division by zero), or the
            result is neither true nor false.
        """
        try:
            result = self._get(point)
        except BadExpression as error:
            raise self._failed(point, error.what) from None
        except KeyError as error:
            raise self._failed(point, f"the point has no {error}") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self._failed(point, str(error)) from None
        if result is True or result is False:
            return result
        raise self._failed(
            point,
            f"it gives a {type(result).__name__}, which is neither true nor false",
            remedy="Compare it with something, such as 'size > 100'",
        )

    def _failed(self, point: _Values, why: str, *, remedy: str = "") -> BadExpression:
        place = ", ".join(
            f"{name}={_shown(point[name])}" for name in sorted(self.names) if name in point
        )
        where = f" for {place}" if place else ""
        return BadExpression(
            f'"{self.text}" can\'t be decided{where}: {why}',
            remedy=remedy or "Change the expression so that it fits every value of its parameters",
        )


def _shown(value: Value) -> str:
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a very long number"
    return repr(value) if not isinstance(value, str) or len(value) < 60 else repr(value[:57] + "…")


class _Reader:
    """Turns the syntax tree of one expression into closures."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.original = text
        self.text = " ".join(text.split("\n")).strip()
        self.known = names
        self.mentioned: set[str] = set()

    def read(self) -> _Getter:
        if not self.text:
            raise BadExpression("the expression is empty", remedy="Write one, or leave it out")
        if len(self.original) > LONGEST_TEXT:
            raise BadExpression(
                f"the expression has {len(self.original)} characters; {LONGEST_TEXT} are allowed",
                remedy="Split it: any of several exclusions is enough to leave a point out",
            )
        return self._of(self._tree().body, 0)

    def _tree(self) -> ast.Expression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return parse_expression(self.text)
            except SyntaxError as error:
                raise self._unreadable(error) from None
            except (RecursionError, MemoryError):
                raise self._too_deep() from None
            except ValueError as error:
                what = f'"{self.text[:60]}" can\'t be read: {error}'
                raise BadExpression(what, remedy=ALLOWED) from None

    def _unreadable(self, error: SyntaxError) -> BadExpression:
        place = min(max((error.offset or 1) - 1, 0), len(self.text))
        remedy = ALLOWED
        if "&&" in self.text or "||" in self.text or re.search(r"!(?!=)", self.text):
            remedy = "Write 'and', 'or' and 'not' for '&&', '||' and '!'"
        elif re.search(r"(?<![=!<>])=(?!=)", self.text):
            remedy = "Write '==' to compare"
        return self._fail(f"can't be read: {error.msg}", place, remedy)

    def _too_deep(self) -> BadExpression:
        return BadExpression(
            f'"{self.text[:40]}…" is nested too deeply; {DEEPEST_NESTING} levels are allowed',
            remedy="Split it into several exclusions",
        )

    def _fail(self, what: str, place: int, remedy: str) -> BadExpression:
        rest = self.text[place : place + 30]
        spot = f'character {place + 1}, at "{rest}"' if rest else "at its end"
        return BadExpression(f'"{self.text}" {what} ({spot})', remedy=remedy)

    def _refuse(self, node: ast.AST, what: str, remedy: str = ALLOWED) -> BadExpression:
        # Offsets of the tree count bytes of UTF-8.
        column = getattr(node, "col_offset", 0)
        place = len(self.text.encode()[:column].decode(errors="ignore"))
        return self._fail(f"can't be used: {what}", place, remedy)

    def _of(self, node: ast.expr, depth: int) -> _Getter:
        if depth > DEEPEST_NESTING:
            raise self._too_deep()
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise self._refuse(node, f"{_describe(node)} is not allowed")
        return handler(self, node, depth + 1)

    def _constant(self, node: ast.Constant, depth: int) -> _Getter:
        value = node.value
        if value is not None and not isinstance(value, bool | int | float | str):
            raise self._refuse(node, f"a {type(value).__name__} is not allowed")
        return lambda _: value

    def _name(self, node: ast.Name, depth: int) -> _Getter:
        name = node.id
        if name in self.known:
            self.mentioned.add(name)
            return operator.itemgetter(name)
        if name in _WORDS:
            word = _WORDS[name]
            return lambda _: word
        hint = nearest(name, self.known)
        listed = ", ".join(sorted(self.known)[:20]) or "none"
        remedy = f"Parameters: {listed}. A string needs quotes: '{name}'"
        raise self._refuse(
            node,
            f"there is no parameter '{name}'" + (f"; {hint}" if hint else ""),
            remedy,
        )

    def _logic(self, node: ast.BoolOp, depth: int) -> _Getter:
        parts = [self._of(value, depth) for value in node.values]
        if isinstance(node.op, ast.And):

            def every(point: _Values) -> Any:
                result: Any = True
                for part in parts:
                    result = part(point)
                    if not result:
                        break
                return result

            return every

        def some(point: _Values) -> Any:
            result: Any = False
            for part in parts:
                result = part(point)
                if result:
                    break
            return result

        return some

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Getter:
        action = _UNARY.get(type(node.op))
        if action is None:
            raise self._refuse(node, "'~' is not allowed", "Write 'not'")
        inner = self._of(node.operand, depth)
        return lambda point: action(inner(point))

    def _binary(self, node: ast.BinOp, depth: int) -> _Getter:
        action = _BINARY.get(type(node.op))
        if action is None:
            sign = _SIGNS.get(type(node.op), "that operator")
            remedy = "Write 'and' and 'or'" if sign in "&|" else ALLOWED
            raise self._refuse(node, f"'{sign}' is not allowed", remedy)
        left, right = self._of(node.left, depth), self._of(node.right, depth)
        return lambda point: action(left(point), right(point))

    def _compare(self, node: ast.Compare, depth: int) -> _Getter:
        first = self._of(node.left, depth)
        links: list[tuple[Callable[[Any, Any], Any], _Getter]] = []
        for sign, operand in zip(node.ops, node.comparators, strict=True):
            action = _COMPARE.get(type(sign))
            if action is None:
                raise self._refuse(node, "'is' is not allowed", "Write '==' or '!=' to compare")
            links.append((action, self._of(operand, depth)))
        if len(links) == 1:
            only, second = links[0]
            return lambda point: only(first(point), second(point))

        def chain(point: _Values) -> bool:
            left = first(point)
            for action, operand in links:
                right = operand(point)
                if not action(left, right):
                    return False
                left = right
            return True

        return chain

    def _choice(self, node: ast.IfExp, depth: int) -> _Getter:
        test, then = self._of(node.test, depth), self._of(node.body, depth)
        otherwise = self._of(node.orelse, depth)
        return lambda point: then(point) if test(point) else otherwise(point)

    def _sequence(self, node: ast.List | ast.Tuple, depth: int) -> _Getter:
        parts = [self._of(item, depth) for item in node.elts]
        return lambda point: [part(point) for part in parts]

    def _call(self, node: ast.Call, depth: int) -> _Getter:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        action = _FUNCTIONS.get(name)
        if action is None:
            called = f"'{name}'" if name else _describe(node.func)
            known = ", ".join(_FUNCTIONS)
            raise self._refuse(node, f"calling {called} is not allowed", f"Functions: {known}")
        if node.keywords:
            raise self._refuse(node, f"'{name}' takes no named arguments", "Give them by position")
        parts = [self._of(argument, depth) for argument in node.args]
        return lambda point: action(*[part(point) for part in parts])


def _describe(node: ast.AST) -> str:
    return _PHRASES.get(type(node), f"a {type(node).__name__.lower()}")


_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: arithmetic.multiplied,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: arithmetic.remainder,
    ast.Pow: arithmetic.power,
}
_SIGNS: Mapping[type[ast.operator], str] = {
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.MatMult: "@",
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": arithmetic.rounded,
    "int": int,
    "float": float,
    "len": len,
}
_PHRASES: Mapping[type[ast.AST], str] = {
    ast.Attribute: "a dot after a name",
    ast.Subscript: "picking an element with [ ]",
    ast.Lambda: "a lambda",
    ast.ListComp: "a loop",
    ast.SetComp: "a loop",
    ast.DictComp: "a loop",
    ast.GeneratorExp: "a loop",
    ast.JoinedStr: "an f-string",
    ast.Dict: "a mapping",
    ast.Starred: "unpacking with *",
    ast.NamedExpr: "an assignment",
}
_HANDLERS: Mapping[type[ast.expr], Callable[[_Reader, Any, int], _Getter]] = {
    ast.Constant: _Reader._constant,
    ast.Name: _Reader._name,
    ast.BoolOp: _Reader._logic,
    ast.UnaryOp: _Reader._unary,
    ast.BinOp: _Reader._binary,
    ast.Compare: _Reader._compare,
    ast.IfExp: _Reader._choice,
    ast.List: _Reader._sequence,
    ast.Tuple: _Reader._sequence,
    ast.Set: _Reader._sequence,
    ast.Call: _Reader._call,
}
