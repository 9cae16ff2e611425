"""The few small programs that run on a machine: constants, for /bin/sh.

What a user wrote never stands in them. It comes as lines on their standard input, each with a
letter in front: the shell reads it into variables and never as its own text. A line with anything
but printable ASCII is written in octal, with a capital letter.

A run costs the machine two forks that don't exec, beside the program itself::

    sshd ── sh ═ exec ═► the program      leads the session and process group that sshd made
             └─ watcher                   in that group; reads standard input until its end

The watcher sees the end of its input when the program has ended, when the controller says so, and
when the connection is gone. It then ends the group, itself with it. Since it holds the channel's
standard error until then, a channel that is closed says that nothing of the group is left.

A connection that falls silent without an end is found by the guard, one for each connection: it
ends sshd's process of that connection, and with it the input of every watcher.

The texts hold no single quote, newline, double backslash or ``!`` before a letter, so that every
login shell, csh and fish too, hands them on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fieldlab.domain.commands import Command

#: a process that was told to end is killed after so long, s
GRACE_S = 3.0
#: the guard ends a connection on which it hears nothing for so long, s
SILENCE_S = 21.0
#: how often the guard hears from us, s
HEARTBEAT_S = 4.0
#: exit code of a run whose folder can't be had
NO_FOLDER = 125

_PLAIN = re.compile(rb"[ -~]*")
#: names that the shell can set, and that aren't the script's own
_NAME = re.compile(r"(?!fl_)[A-Za-z_][A-Za-z0-9_]*")

#: kills every process whose environment has a mark of ours; $@ are options and patterns for grep
_KILL_MARKED = (
    'for fl_f in $(grep -lsaz "$@" /proc/[0-9]*/environ); do '
    "fl_f=${fl_f#/proc/}; fl_f=${fl_f%/environ}; "
    'case "$fl_s " in *" $fl_f "*) continue;; esac; '
    'kill -KILL $fl_f 2>/dev/null && fl_n=$((fl_n + 1)) && fl_s="$fl_s $fl_f"; done'
)

_WATCH = (
    "read -r fl_l; "
    "if kill -0 $$; then "
    "kill -s CONT -- -$$; kill -s TERM -- -$$; fl_n=0; "
    f"while [ $fl_n -lt {int(GRACE_S * 10)} ] && kill -0 $$; "
    "do sleep 0.1 || sleep 1; fl_n=$((fl_n + 1)); done; "
    'if [ "$fl_m" ]; then fl_s=; unset FIELDLAB_MARK; set -- -xFe "FIELDLAB_MARK=$fl_m"; '
    f"{_KILL_MARKED}; fi; "
    "fi; kill -s KILL -- -$$"
)

_FOLDER = (
    'cd "$fl_d" 2>/dev/null || { '
    'fl_e=$( { umask 077; mkdir -p -- "$fl_d" && cd "$fl_d"; } 2>&1 ) && cd "$fl_d"; } || '
    f'{{ echo "$fl_t$fl_e" >&2; exit {NO_FOLDER}; }}'
)

#: decodes the line in fl_l after its letter; the dot keeps newlines at its end
_OCTAL = 'fl_l=$(printf %b. "${fl_l#?}"); fl_l=${fl_l%.}'

_RUN = (
    "unset CDPATH; fl_go=; fl_b=; fl_m=; fl_t=; set --; "
    "while IFS= read -r fl_l; do case $fl_l in "
    'a*) set -- "$@" "${fl_l#a}";; '
    f'A*) {_OCTAL}; set -- "$@" "$fl_l";; '
    'e*) export "${fl_l#e}";; '
    f'E*) {_OCTAL}; export "$fl_l";; '
    "m*) fl_m=${fl_l#m};; "
    "t*) fl_t=${fl_l#t};; "
    f"d*) fl_d=${{fl_l#d}}; {_FOLDER};; "
    f"D*) {_OCTAL}; fl_d=$fl_l; {_FOLDER};; "
    "r) fl_b=1; echo;; "
    "g) fl_go=1; break;; "
    'esac; done; [ "$fl_go" ] || exit; [ "$fl_b" ] && date +%s.%N; exec 3<&0; '
    f'( {{ trap "" TERM HUP INT; {_WATCH}; }} <&3 >/dev/null 4>&2 2>/dev/null 3<&- & ); '
    'exec "$@" </dev/null 3<&-'
)

_GUARD = (
    "fl_p=$PPID; fl_g=; fl_b=; fl_x=; fl_r=; "
    "read -r fl_x fl_x fl_x fl_x fl_g fl_x </proc/$$/stat; "
    "read -r fl_b </proc/sys/kernel/random/boot_id; "
    'fl_x=; read -r fl_x </proc/1/stat; fl_x=${fl_x##*")"}; set -- $fl_x; '
    'echo "$$ $fl_g $fl_b.${20}"; '
    "for fl_x in rsync sha256sum; do command -v $fl_x; done 2>/dev/null; echo; "
    'while :; do ( trap "kill \\$fl_s; exit" TERM; '
    "sleep @SILENCE@ & fl_s=$! ; wait $fl_s; kill $fl_p; sleep 1; kill -KILL $fl_p ) "
    ">/dev/null 2>&1 & fl_t=$! ; "
    "read -r fl_x || { kill $fl_t; exit; }; kill $fl_t; done"
)

_SWEEP = (
    "set --; fl_n=0; fl_s=; unset FIELDLAB_MARK; "
    'while IFS= read -r fl_l; do set -- "$@" -e "FIELDLAB_MARK=$fl_l"; done; '
    'if [ $# -gt 0 ]; then set -- -xF "$@"; else set -- -e "^FIELDLAB_MARK="; fi; '
    f"fl_k=-1; while [ $fl_k -lt $fl_n ]; do fl_k=$fl_n; {_KILL_MARKED}; done; echo $fl_n"
)


def _exec(script: str) -> str:
    assert not re.search(r"['\n]|\\\\|![^ ]", script)
    return f"exec /bin/sh -c '{script}'"


RUN = _exec(_RUN)
SWEEP = _exec(_SWEEP)
#: for an sshd that starts programs in a process group of its own
RUN_IN_NEW_SESSION = _exec(_RUN).replace("exec ", "exec setsid ", 1)


def guard(silence_s: float = SILENCE_S) -> str:
    """Write the guard's program: it ends its connection when it hears nothing for so long."""
    return _exec(_GUARD.replace("@SILENCE@", f"{silence_s:.0f}"))


GUARD = guard()


def _line(letter: str, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(raw):
        return letter.encode() + raw + b"\n"
    return letter.upper().encode() + b"".join(b"\\0%03o" % byte for byte in raw) + b"\n"


def run_lines(command: Command, *, token: str, mark: str, barrier: bool) -> bytes:
    """Say to :data:`RUN` what to run; it starts when it reads :data:`GO` after that.

    Parameters
    ----------
    token
        Stands in front of what is said of a folder that can't be had.
    barrier
        Have it write an empty line when all is ready, and the time when it starts.
    """
    environment = {**command.environment, **({"FIELDLAB_MARK": mark} if mark else {})}
    argv = list(command.argv)
    # names that the script can't set, and programs that look like an option
    odd = [f"{name}={value}" for name, value in environment.items() if not _NAME.fullmatch(name)]
    if odd or argv[0].startswith("-"):
        argv = ["env", *odd, *argv]
    lines = [_line("t", token), _line("d", folder_name(command.directory))]
    lines += [
        _line("e", f"{name}={value}")
        for name, value in environment.items()
        if _NAME.fullmatch(name)
    ]
    lines += [_line("a", word) for word in argv]
    lines += [_line("m", mark)] if mark else []
    lines += [b"r\n"] if barrier else []
    return b"".join(lines)


#: starts it; the end of the input then stops it
GO = b"g\n"


def folder_name(path: str) -> str:
    """Write a folder so that no program takes it for an option, and none needs ``~``."""
    path = path.removeprefix("~/") if path != "~" else "."
    return f"./{path}" if path.startswith("-") else path or "."


def sweep_lines(marks: Iterable[str]) -> bytes:
    """Say to :data:`SWEEP` which marks."""
    return b"".join(f"{mark}\n".encode() for mark in marks)
