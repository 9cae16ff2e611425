"""Ways to reach people: apprise's services (mail, Slack, webhooks, …), and a program of theirs."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fieldlab.domain.errors import MissingExtra, NotSent, sentences
from fieldlab.domain.threads import in_daemon_thread
from fieldlab.ports.notifier import Notice

if TYPE_CHECKING:
    import apprise

#: longest that sending one message may take, s
SEND_S = 30.0
#: characters of a message that a command finds in its environment; all of it is on its input
MOST_IN_ENVIRONMENT = 32_000
#: characters of what went wrong that are told
_TAIL = 300
#: parts of an address that are shorter are no secrets, and occur in any text
_SHORTEST_SECRET = 5
_HIDDEN = "****"


class AppriseNotifier:
    """Sends to one address of apprise's.

    Parameters
    ----------
    url
        As in ``mailto://…``; see https://github.com/caronc/apprise/wiki. What is secret in it is
        never shown.
    limit_s
        Longest that sending may take, s.
    """

    def __init__(self, url: str, *, limit_s: float = SEND_S) -> None:
        self._url = url
        self._limit_s = limit_s
        self.name = url.partition(":")[0]

    async def send(self, notice: Notice) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await in_daemon_thread(lambda: self._send(notice))
        except TimeoutError:
            raise NotSent(f"{self.name} took longer than {self._limit_s:g} s") from None

    def check(self) -> str:
        """Read the address; give it as far as people may see it.

        Raises
        ------
        MissingExtra
            apprise isn't installed.
        NotSent
            It isn't an address that apprise knows.
        """
        self._plugin()
        return self.name

    def _plugin(self) -> apprise.NotifyBase:
        try:
            import apprise
        except ImportError as error:
            raise MissingExtra("notify", "Sending messages to people") from error
        asset = apprise.AppriseAsset(app_id="fieldlab", app_desc="Messages from fieldlab")
        with _said():
            made = apprise.Apprise.instantiate(self._url, asset=asset, suppress_exceptions=True)
        if made is None:
            raise NotSent(
                f"An address of {self.name}:// is not one that can be used",
                remedy="Write it as https://github.com/caronc/apprise/wiki shows",
            )
        shown = urlsplit(str(made.url(privacy=True)))  # type: ignore[no-untyped-call]
        self.name = f"{shown.scheme}://{shown.netloc.rpartition('@')[2]}"
        return made

    def _send(self, notice: Notice) -> None:
        plugin = self._plugin()
        import apprise

        body, format_ = notice.body, _format_of(plugin)
        if format_ == "html":
            body = escape(body).replace("\n", "<br/>")
        with _said() as lines:
            try:
                # not by `Apprise.notify`, whose threads keep a process from ending
                sent = plugin.notify(
                    title=notice.title,
                    body=body,
                    notify_type=apprise.NotifyType(notice.urgency.value),
                    body_format=format_,
                )
            except Exception as error:  # noqa: BLE001 - a service's plug-in may raise anything
                sent = False
                lines.append(f"{type(error).__name__}: {error}")
        if not sent:
            why = self._scrubbed(" ".join(lines)).strip()[-_TAIL:]
            raise NotSent(f"{self.name} didn't take it{': ' if why else ''}{why}")

    def _scrubbed(self, text: str) -> str:
        """Hide whatever of the address may be secret: all that stands beside its host."""
        parts = urlsplit(self._url)
        beside = [parts.username or "", parts.password or "", parts.path, parts.query]
        words = {word for each in beside for word in re.split(r"[/?&=:,+\s]", each)}
        if not self.name.endswith(parts.hostname or " "):
            words.add(parts.hostname or "")  # where it is a token, as Slack has it
        both = {*words, *map(unquote, words)}
        for word in sorted(both, key=len, reverse=True):
            if len(word) >= _SHORTEST_SECRET:
                text = re.sub(re.escape(word), _HIDDEN, text, flags=re.IGNORECASE)
        return text


def _format_of(plugin: apprise.NotifyBase) -> apprise.NotifyFormat:
    """Choose plain text where a service takes it; apprise 2 lists what it takes, 1 names one."""
    from apprise import NotifyFormat

    known: Any = plugin.notify_format
    formats = known if isinstance(known, tuple) else (known,)
    return NotifyFormat.TEXT if NotifyFormat.TEXT in formats else NotifyFormat(formats[0])


class _Ear(logging.Handler):
    """Hears what this thread logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


@contextmanager
def _said() -> Iterator[list[str]]:
    """Gather what apprise says of its troubles; it says it to a log only."""
    log, ear = logging.getLogger("apprise"), _Ear()
    log.addHandler(ear)
    log.propagate = False  # addresses with passwords are in what it logs
    try:
        yield ear.lines
    finally:
        log.removeHandler(ear)


class CommandNotifier:
    """Tells a program: the text is its standard input; no shell is between.

    In its environment are ``FIELDLAB_TITLE``, ``FIELDLAB_BODY`` and ``FIELDLAB_URGENCY``.

    Parameters
    ----------
    argv
        The program and its arguments.
    folder
        Where it runs, and where a relative path of the program begins; "" is the current folder.
    limit_s
        It is ended, with all that it has started, after so long, s.
    """

    def __init__(self, argv: Sequence[str], folder: str = "", *, limit_s: float = SEND_S) -> None:
        self._argv = tuple(argv)
        self._folder = folder or None
        self._limit_s = limit_s
        self.name = argv[0]

    def check(self) -> str:
        """Name the program.

        Raises
        ------
        NotSent
            There is no such program.
        """
        import shutil

        path = os.path.join(self._folder or "", self.name) if "/" in self.name else self.name  # noqa: PTH118 - a bare name is looked up
        if shutil.which(path) is None:
            raise NotSent(f"There is no program {self.name} that can be run")
        return self.name

    async def send(self, notice: Notice) -> None:
        self.check()
        told = _Telling(self._argv, self._folder, self._limit_s)
        try:
            code, tail = await in_daemon_thread(lambda: told.run(notice))
        except subprocess.TimeoutExpired:
            raise NotSent(f"{self.name} took longer than {self._limit_s:g} s") from None
        except OSError as error:
            raise NotSent(f"{self.name} can't be started: {error.strerror}") from error
        finally:
            told.end()
        if code:
            raise NotSent(sentences(f"{self.name} ended with exit code {code}", tail))


class _Telling:
    """One run of a program; it may be ended from another thread."""

    def __init__(self, argv: Sequence[str], folder: str | None, limit_s: float) -> None:
        self._argv = argv
        self._folder = folder
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._is_over = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, notice: Notice) -> tuple[int, str]:
        """Run it to its end: its exit code, and the end of what it wrote.

        Raises
        ------
        OSError
            It can't be started.
        subprocess.TimeoutExpired
            It took too long, and was ended.
        """
        told = {
            "FIELDLAB_TITLE": notice.title,
            "FIELDLAB_BODY": notice.body[:MOST_IN_ENVIRONMENT],
            "FIELDLAB_URGENCY": notice.urgency.value,
        }
        # files, not pipes: whatever the program leaves behind can't keep us waiting
        with tempfile.TemporaryFile() as text, tempfile.TemporaryFile() as output:
            text.write(f"{notice.body}\n".encode())
            text.seek(0)
            with self._lock:
                if self._is_over:
                    return 0, ""
                self._process = process = subprocess.Popen(
                    self._argv,
                    stdin=text,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **told},
                    cwd=self._folder,
                    start_new_session=True,
                )
            try:
                code = process.wait(self._limit_s)
            except subprocess.TimeoutExpired:
                self._kill()
                process.wait()
                raise
            with self._lock:
                self._process = None  # what it has left to work on goes on
            output.seek(0)
            return code, output.read()[-_TAIL:].decode(errors="replace").strip()

    def end(self) -> None:
        """End it, with all that it has started, or keep it from beginning."""
        with self._lock:
            self._is_over = True
        self._kill()

    def _kill(self) -> None:
        """Kill its process group, once: its number may soon be another's."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
