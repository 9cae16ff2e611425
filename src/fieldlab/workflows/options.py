"""Reading the options of a tool: everything that is wrong with them, each with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fieldlab.domain.durations import parse_duration
from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.fields import Key, check_keys


class Options:
    """The options of a tool, or a mapping in them.

    Every reader gives a value that can be worked with on, and notes what is wrong;
    :meth:`finish` raises what was noted.
    """

    def __init__(
        self, data: Mapping[str, Any], key: Key, problems: list[Problem] | None = None
    ) -> None:
        self._data = data
        self.key = key
        self.problems: list[Problem] = [] if problems is None else problems

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def only(self, *names: str) -> None:
        """Refuse other keys, each with the nearest that there is."""
        check_keys(self._data, names, self.key, self.problems)

    def note(self, what: str, remedy: str, *below: str | int) -> None:
        """Note something wrong with a key below this mapping."""
        self.problems.append(Problem(what=what, remedy=remedy, key=(*self.key, *below)))

    def finish(self) -> None:
        """Raise everything that was noted.

        Raises
        ------
        BadInput
            Something was; ``problems`` has them all.
        """
        if self.problems:
            raise BadInput.of(self.problems)

    def text(self, name: str, default: str = "") -> str:
        """Read a text that isn't empty."""
        value = self._data.get(name, default)
        if not isinstance(value, str) or (name in self._data and not value):
            self.note(f"'{name}' must be text, not {value!r}", f"Write {name}: …", name)
            return default
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self._data.get(name, default)
        if not isinstance(value, bool):
            self.note(f"'{name}' must be true or false, not {value!r}", "Write one of them", name)
            return default
        return value

    def whole(self, name: str, default: int, *, least: int = 0) -> int:
        """Read an integer."""
        value = self._data.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            what = f"'{name}' must be an integer of at least {least}, not {value!r}"
            self.note(what, f"Write {name}: {max(default, least)}", name)
            return default
        return value

    def seconds(self, name: str, default: float) -> float:
        """Read a duration, s."""
        if name not in self._data:
            return default
        value = self._data[name]
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise BadInput(f"{value!r} is not a duration", remedy='Write 30, or "2m"')
            return parse_duration(value)
        except BadInput as error:
            self.note(error.what, error.remedy, name)
            return default

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """Read one of several words; the first is the default."""
        value = self._data.get(name, known[0])
        if value not in known:
            remedy = nearest(str(value), known) or f"One of: {', '.join(known)}"
            self.note(f"there is no {name} {value!r}", remedy, name)
            return known[0]
        return str(value)

    def words(self, name: str) -> list[str]:
        """Read a list of words of a command line; numbers are words too."""
        value = self._data.get(name, [])
        if isinstance(value, str):
            split = ", ".join(value.split())
            self.note("this must be a list of words, not one text", f"Write [{split}]", name)
            return []
        if not isinstance(value, list | tuple):
            self.note(
                f"'{name}' must be a list of words, not {value!r}", f"Write {name}: […]", name
            )
            return []
        found = []
        for place, word in enumerate(value):
            if isinstance(word, bool) or not isinstance(word, str | int | float):
                remedy = 'Write text, in quotes if it looks like something else: "true"'
                self.note(f"{word!r} is not a word of a command line", remedy, name, place)
            else:
                found.append(str(word))
        return found

    def texts(self, name: str) -> dict[str, str]:
        """Read a mapping of texts."""
        found = {}
        for inner, value in self.part(name)._data.items():
            if isinstance(value, str) and value:
                found[inner] = value
            else:
                self.note(f"'{inner}' must be text, not {value!r}", "Write it as text", name, inner)
        return found

    def part(self, name: str) -> Options:
        """Read a mapping; an empty one stands for what isn't a mapping."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, Mapping):
            remedy = f"Write {name}: {{key: value}}"
            self.note(f"'{name}' must be a mapping, not {value!r}", remedy, name)
        return Options(
            value if isinstance(value, Mapping) else {}, (*self.key, name), self.problems
        )

    def parts(self, name: str) -> list[Options]:
        """Read a list of mappings."""
        value = self._data.get(name)
        found = []
        for place, entry in enumerate(value if isinstance(value, list | tuple) else []):
            if isinstance(entry, Mapping):
                found.append(Options(entry, (*self.key, name, place), self.problems))
            else:
                self.note(f"{entry!r} is not a mapping", "Write {key: value}", name, place)
        if value is not None and not isinstance(value, list | tuple):
            self.note(f"'{name}' must be a list, not {value!r}", f"Write {name}: [{{…}}]", name)
        return found

    def get(self, name: str) -> Any:
        """Give a value as it is; None if it isn't there."""
        return self._data.get(name)

    def names(self) -> list[str]:
        """List the keys."""
        return [str(name) for name in self._data]
