"""Making an ssh connection: strict about host keys, and clear about what went wrong."""

from __future__ import annotations

import logging
import os
import shlex
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import tenacity

from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    HostKeyRefused,
    HostLoginRefused,
    HostUnreachable,
)
from fieldlab.domain.sites import HostSpec, Site

#: a connection and a login each have this long, s
CONNECT_S = 10.0
#: a link that is dead is found after so many of these, s
KEEPALIVES = 3
#: cheapest first: all are fine, and the first two run in hardware
_CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr"

# its records of every channel cost more than the channels, and are read by nobody
asyncssh.set_log_level(logging.ERROR)


class _Doorkeeper(asyncssh.SSHClient):
    """Remembers the key that a host showed and that isn't known; never lets one in."""

    def __init__(self) -> None:
        self.shown: asyncssh.SSHKey | None = None

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.shown = key
        return False


def _passed(error: BaseException) -> bool:
    """Whether an sshd that is busy or just starting may have said this."""
    return isinstance(error, HostUnreachable) and isinstance(
        error.__cause__, asyncssh.ConnectionLost | ConnectionResetError
    )


async def connect(spec: HostSpec, site: Site) -> list[asyncssh.SSHClientConnection]:
    """Connect to a host, through its jump hosts if it has any.

    Returns
    -------
    list
        The connection, and then those that carry it; to be closed in this order.

    Raises
    ------
    HostUnreachable
        With the reason and what to do; a :class:`HostLoginRefused` isn't worth trying again.
    HostKeyRefused
        Its key is unknown or changed; the message says how to accept it.
    BadInput
        The private key can't be used.
    """
    tries = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=1),
        retry=tenacity.retry_if_exception(_passed),
        reraise=True,
    )
    return await tries(_connect_once, spec, site)


async def _connect_once(spec: HostSpec, site: Site) -> list[asyncssh.SSHClientConnection]:
    made: list[asyncssh.SSHClientConnection] = []
    try:
        for jump in filter(None, (each.strip() for each in spec.jump.split(","))):
            gate = jump_spec(jump, spec)
            whom = f"the jump host of '{spec.name}' ({gate.identity})"
            made.insert(0, await _open(whom, gate, site, made))
        whom = f"host '{spec.name}' ({spec.identity})"
        made.insert(0, await _open(whom, spec, site, made))
    except BaseException:
        for connection in made:
            connection.abort()
        raise
    return made


def jump_spec(jump: str, spec: HostSpec) -> HostSpec:
    """Read one place of ``ssh -J``: ``user@gate:22``, ``gate``, ``[::1]:2222``.

    Raises
    ------
    BadInput
        The port isn't a number.
    """
    user, _, place = jump.rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or (":" in address and not address.endswith("]")):
        address, port = place, "22"
    if not port.isdigit():
        raise BadInput(
            f"The jump host '{jump}' of '{spec.name}' has a port that isn't a number",
            remedy="Write it as in user@gate:22",
        )
    address = address.removeprefix("[").removesuffix("]")
    return HostSpec(name=jump, address=address, port=int(port), user=user, key=spec.key)


async def _open(
    whom: str, spec: HostSpec, site: Site, carriers: Sequence[asyncssh.SSHClientConnection]
) -> asyncssh.SSHClientConnection:
    doorkeeper = _Doorkeeper()
    async with _explained(whom, spec, site, doorkeeper):
        options = _options(spec, site)
        return await asyncssh.connect(
            spec.address,
            port=() if spec.port == 22 else spec.port,
            options=options,
            tunnel=carriers[0] if carriers else (),
            client_factory=lambda: doorkeeper,
        )
    raise AssertionError


def _options(spec: HostSpec, site: Site) -> asyncssh.SSHClientConnectionOptions:
    given: dict[str, object] = {}
    if spec.user:
        given["username"] = spec.user
    if spec.key:
        given["client_keys"] = [str(Path(spec.key).expanduser())]
    if site.ssh_config:
        given["config"] = [str(Path(site.ssh_config).expanduser())]
    known = known_hosts(site)
    if site.known_hosts:
        given["known_hosts"] = str(known) if known.exists() else b""
    given |= {
        "host": spec.address,
        "connect_timeout": connect_s(site),
        "login_timeout": connect_s(site),
        "keepalive_interval": site.patience_s / KEEPALIVES,
        "keepalive_count_max": KEEPALIVES,
        "compression_algs": None,
        "encryption_algs": _CIPHERS,
        "preferred_auth": "publickey",
        "x509_trusted_certs": None,
    }
    options = asyncssh.SSHClientConnectionOptions(**given)
    if options.known_hosts is not None:
        return options
    # a configuration that trusts everybody; nobody gets that
    given["known_hosts"] = str(known) if known.exists() else b""
    return asyncssh.SSHClientConnectionOptions(**given)


def connect_s(site: Site) -> float:
    """Say how long a connection may take, s."""
    return min(CONNECT_S, site.patience_s)


def known_hosts(site: Site) -> Path:
    """Name the file of host keys."""
    return Path(site.known_hosts or "~/.ssh/known_hosts").expanduser()


def key_files(spec: HostSpec, site: Site) -> list[Path]:
    """List the files of host keys that a connection goes by: absolute, the first one first."""
    if site.known_hosts:
        return [known_hosts(site).absolute()]
    given: dict[str, object] = {"host": spec.address, "client_keys": None}
    if site.ssh_config:
        given["config"] = [str(Path(site.ssh_config).expanduser())]
    named = asyncssh.SSHClientConnectionOptions(**given).known_hosts
    if isinstance(named, list) and named:
        return [Path(str(each)).expanduser().absolute() for each in named]
    return [known_hosts(site).absolute()]


def _capital(whom: str) -> str:
    return whom[:1].upper() + whom[1:]


@asynccontextmanager
async def _explained(
    whom: str, spec: HostSpec, site: Site, doorkeeper: _Doorkeeper
) -> AsyncIterator[None]:
    begin = _capital(whom)
    try:
        yield
    except FieldlabError:
        raise
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise _refused_key(whom, spec, site, doorkeeper, error) from error
    except asyncssh.PermissionDenied as error:
        raise HostLoginRefused(
            f"{begin} doesn't let "
            + (f"'{spec.user}' in" if spec.user else "you in")
            + (f" with the key {spec.key}" if spec.key else ""),
            remedy="Put the public key into ~/.ssh/authorized_keys there, as with `ssh-copy-id"
            f"{f' -i {shlex.quote(spec.key)}' if spec.key else ''} -p {spec.port} "
            f"{f'{spec.user}@' if spec.user else ''}{spec.address}`, or correct `user` or `key`",
        ) from error
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        raise BadInput(
            f"The private key for {whom}, {spec.key or '~/.ssh'}, can't be used: {error}",
            remedy="If it has a passphrase, hand it to an agent with `ssh-add` and leave `key` out",
        ) from error
    except TimeoutError as error:
        raise HostUnreachable(
            f"{begin} doesn't answer within {connect_s(site):g} s",
            remedy=f"Look whether it is on and the network reaches it: `ping {spec.address}`",
        ) from error
    except asyncssh.ConfigParseError as error:
        raise BadInput(
            f"The ssh configuration for {whom} can't be read: {error}",
            remedy="Correct it, or name another file as the site's `ssh_config`",
        ) from error
    except asyncssh.Error as error:
        raise HostUnreachable(
            f"{begin} ended the connection: {error.reason}",
            remedy=f"Try it by hand: `ssh -v -p {spec.port} {spec.address}`",
        ) from error
    except OSError as error:
        raise _explain_system(whom, spec, error) from error


def _explain_system(whom: str, spec: HostSpec, error: OSError) -> FieldlabError:
    if error.filename and os.fspath(error.filename) != spec.address:
        return BadInput(
            f"For {whom}, {error.filename} can't be read: {error.strerror}",
            remedy="Correct `key`, `known_hosts` or `ssh_config` of the site, "
            "or the file's permissions",
        )
    if isinstance(error, socket.gaierror):
        return HostUnreachable(
            f"Nobody knows the address of {whom}",
            remedy="Correct `address`, or add it to DNS, /etc/hosts or ~/.ssh/config",
        )
    if isinstance(error, ConnectionRefusedError):
        return HostUnreachable(
            f"{_capital(whom)} refuses the connection: no sshd listens there",
            remedy="Start sshd on it, or correct `port`",
        )
    # asyncio's own words name its call and the address once more
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return HostUnreachable(
        f"{_capital(whom)} can't be reached: {why}",
        remedy=f"Look whether it is on and the network reaches it: `ping {spec.address}`",
    )


def _refused_key(
    whom: str, spec: HostSpec, site: Site, doorkeeper: _Doorkeeper, error: asyncssh.Error
) -> FieldlabError:
    file, key = known_hosts(site), doorkeeper.shown
    name = spec.address if spec.port == 22 else f"[{spec.address}]:{spec.port}"
    known = _is_known(file, spec)
    if key is None and not known:
        return HostUnreachable(
            f"{_capital(whom)} and this machine have no way to talk in common: {error.reason}",
            remedy="Update the sshd there",
        )
    found = f", {key.get_fingerprint()} ({key.get_algorithm()})" if key is not None else ""
    accept = f"`ssh-keyscan -p {spec.port} {shlex.quote(spec.address)} >> {shlex.quote(str(file))}`"
    if not known:
        return HostKeyRefused(
            f"The key of {whom}{found}, is unknown",
            remedy="Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says "
            f"on the machine; if it is the same, accept it with {accept}",
        )
    return HostKeyRefused(
        f"The key of {whom}{found}, isn't the one that {file} has: another machine answers, "
        "or it was installed anew",
        remedy="Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on "
        f"the machine; if it is the same, forget the old one with `ssh-keygen -f "
        f"{shlex.quote(str(file))} -R {shlex.quote(name)}` and accept the new one with {accept}",
    )


def _is_known(file: Path, spec: HostSpec) -> bool:
    try:
        matches = asyncssh.match_known_hosts(str(file), spec.address, "", spec.port)
    except (OSError, ValueError):
        return False
    return any(matches)
