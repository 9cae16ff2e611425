"""The hosts of a sandbox with their network: made, harmed, healed and removed together."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import access, kernel, network, shaping
from fieldlab.sandbox.faults import SHAPING, Fault, FaultKind
from fieldlab.sandbox.folder import Folder, Plan, Standing, started_ticks
from fieldlab.sandbox.init import SSHD_SETTINGS
from fieldlab.sandbox.shaping import Shape
from fieldlab.sandbox.tree import HostFiles, write_disk, write_known_hosts, write_template
from fieldlab.sandbox.virtual_host import Parts, Power, VirtualHost

_NO_SLOW_DISK = (
    "A slow disk can't be had: the hosts' disks are in memory, where neither the kernel's"
    " dm-delay nor its limits on I/O reach"
)


class Cluster:
    """All hosts. Whoever makes it leaves the machine's mounts and network for its own."""

    def __init__(self, folder: Folder, plan: Plan, *, rootless: bool) -> None:
        self.hosts: dict[str, VirtualHost] = {}
        self._folder = folder
        self._plan = plan
        self._rootless = rootless
        self._partitions: set[frozenset[str]] = set()
        self._uplink = ""
        #: descriptors of the hosts' network namespaces
        self._namespaces: list[int] = []
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_NETWORK)
        kernel.keep_mounts_private()
        network.make_switch()
        self.has_netem = shaping.has_netem()

    def start(self) -> Standing:
        """Make the hosts and switch them on; return when every ssh server listens.

        Raises
        ------
        SandboxError
            Something can't be made here.
        """
        keys = _begin_keys(self._folder, self._plan.names)
        number, self._uplink = (0, "") if self._rootless else network.claim_network(self._outside)
        standing = self._write_standing(number)
        if self._rootless:
            network.take_address(standing.gateway)
        addresses = [standing.address(place) for place in range(len(self._plan.hosts))]
        self._namespaces = [network.open_namespace() for _ in addresses]
        network.connect_hosts(self._namespaces, addresses)
        lines = [
            f"{address}\t{name}\n"
            for address, name in zip(addresses, self._plan.names, strict=True)
        ]
        kernel.mount("fieldlab", self._folder.tree, "tmpfs", data="mode=755")
        write_template(self._folder.tree, "127.0.0.1\tlocalhost\n" + "".join(lines))
        _end_keys(keys)
        access.write_known_hosts(self._folder, self._plan, standing)
        write_known_hosts(self._folder.tree, self._folder.known_hosts)
        for place, name in enumerate(self._plan.names):
            files = self._make_disk(name, addresses[place])
            parts = Parts(
                name=name,
                place=place,
                address=addresses[place],
                network=self._namespaces[place],
                files=files,
                console=self._folder.console(name),
            )
            host = VirtualHost(parts, netem=self.has_netem, reboot_s=self._plan.reboot_s)
            self.hosts[name] = host
            host.start()
        for host in self.hosts.values():
            host.await_start()
        return standing

    def _write_standing(self, number: int) -> Standing:
        standing = Standing(
            supervisor=os.getpid(),
            started_ticks=started_ticks(os.getpid()) or 0,
            network=number,
            uplink=self._uplink,
            rootless=self._rootless,
        )
        self._folder.write_standing(standing)
        return standing

    def _make_disk(self, name: str, address: str) -> HostFiles:
        disk = self._folder.disk(name)
        kernel.mount("fieldlab", disk, "tmpfs", data=f"size={self._plan.disk_bytes},mode=755")
        files = HostFiles(
            disk=disk,
            template=self._folder.tree,
            boot_id=self._folder.boot_id(name),
            shared=self._plan.shared,
            rootless=self._rootless,
        )
        settings = SSHD_SETTINGS.format(address=address)
        write_disk(files, self._folder.key, self._folder.host_key(name), settings)
        return files

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that become readable when a host goes down."""
        return [each for host in self.hosts.values() for each in host.descriptors]

    def look_after(self) -> None:
        """Notice hosts that went down or have started, and start those whose time has come."""
        for host in self.hosts.values():
            host.notice_end()
            host.shaper.mend(host.shape)
            if host.back_at is not None and host.back_at <= time.monotonic():
                host.start()
            if host.has_started():
                with contextlib.suppress(SandboxError):  # its console says it; its state shows it
                    host.await_start()
                self._reacquaint()

    def inject(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Let something go wrong; when this returns, it has."""
        fault = Fault.from_document(document)
        host = self.hosts[fault.host]
        match fault.kind:
            case FaultKind.PARTITION:
                self._partition(self._partitions | {frozenset((fault.host, fault.peer))})
            case FaultKind.LINK:
                host.set_link(down=True)
            case FaultKind.SSHD:
                host.set_sshd(stopped=True)
            case FaultKind.FULL_DISK:
                host.set_full(full=True)
            case FaultKind.SLOW_DISK:
                raise SandboxError(_NO_SLOW_DISK, remedy="Fill it instead, with full-disk")
            case FaultKind.REBOOT:
                host.reboot(fault.value)
            case FaultKind.DEAD:
                host.cut_power()
            case shaped:
                self._shape(host, replace(host.shape, **{shaped.value: fault.value}))
        return {}

    def clear(self, names: Sequence[str], kind: str) -> dict[str, Any]:
        """Take faults away: of some hosts, of one kind or all."""
        kinds = [FaultKind(kind)] if kind else list(FaultKind)
        if FaultKind.PARTITION in kinds:
            self._partition({pair for pair in self._partitions if not pair & set(names)})
        started = []
        for host in (self.hosts[name] for name in names):
            shaped = {each.value: 0.0 for each in SHAPING if each in kinds}
            if (shape := replace(host.shape, **shaped)) != host.shape:
                self._shape(host, shape)
            if FaultKind.LINK in kinds and host.link_is_down:
                host.set_link(down=False)
            if FaultKind.FULL_DISK in kinds and host.disk_is_full:
                host.set_full(full=False)
            if host.power in _DOWN and {FaultKind.REBOOT, FaultKind.DEAD} & set(kinds):
                host.start()
                started.append(host)
            if FaultKind.SSHD in kinds and host.sshd_is_stopped:
                host.set_sshd(stopped=False)
        for host in started:
            host.await_start()
        self._reacquaint()
        return {}

    def _reacquaint(self) -> None:
        network.forget_neighbours(self._namespaces, self._uplink, self._outside)

    def _shape(self, host: VirtualHost, shape: Shape) -> None:
        before, host.shape = host.shape, shape
        try:
            host.shaper.apply(shape)
            self._set_filter()
        except SandboxError:
            host.shape = before
            with contextlib.suppress(SandboxError):
                host.shaper.apply(before)
            raise

    def _partition(self, partitions: set[frozenset[str]]) -> None:
        before, self._partitions = self._partitions, partitions
        if before == partitions:
            return
        try:
            self._set_filter()
        except SandboxError:
            self._partitions = before
            raise

    def _set_filter(self) -> None:
        ports = {name: host.shaper.ports for name, host in self.hosts.items()}
        losses = {} if self.has_netem else {name: h.shape.loss for name, h in self.hosts.items()}
        shaping.set_filter(
            {ports[name]: loss for name, loss in losses.items() if loss},
            [(ports[one], ports[other]) for one, other in map(sorted, self._partitions)],
        )

    def status(self) -> dict[str, Any]:
        """Say how everything stands."""
        hosts = [
            {
                "name": host.name,
                "address": host.address,
                "roles": list(planned.roles),
                "state": host.power.value,
                "pid": host.pid,
                "faults": [str(fault) for fault in self._faults(host)],
            }
            for planned, host in zip(self._plan.hosts, self.hosts.values(), strict=True)
        ]
        shaped_by = "netem" if self.has_netem else "packet filter, tbf and relay"
        return {"hosts": hosts, "shaped_by": shaped_by, "rootless": self._rootless}

    def _faults(self, host: VirtualHost) -> list[Fault]:
        found = {
            FaultKind.LINK: host.link_is_down,
            FaultKind.SSHD: host.sshd_is_stopped,
            FaultKind.FULL_DISK: host.disk_is_full,
            FaultKind.DEAD: host.power is Power.OFF,
            **{each: getattr(host.shape, each.value) for each in SHAPING},
        }
        faults = [
            Fault(host=host.name, kind=kind, value=float(value))
            for kind, value in found.items()
            if value
        ]
        for pair in sorted(map(sorted, self._partitions)):
            if host.name in pair:
                (peer,) = (each for each in pair if each != host.name)
                faults.append(Fault(host=host.name, kind=FaultKind.PARTITION, peer=peer))
        return faults

    def end(self) -> None:
        """Switch all hosts off and remove what the machine sees of the sandbox."""
        for host in self.hosts.values():
            host.kill()
        for host in self.hosts.values():
            host.await_end()
        if self._uplink:
            network.release_network(self._uplink, self._outside)
        for mounted in (*map(self._folder.disk, self._plan.names), self._folder.tree):
            with contextlib.suppress(OSError):
                kernel.unmount(mounted)


#: states in which a host doesn't run
_DOWN = (Power.OFF, Power.REBOOTING)


def _begin_keys(folder: Folder, names: Sequence[str]) -> list[subprocess.Popen[bytes]]:
    """Start making the keys, all at once."""
    wanted: list[tuple[Path, str]] = [(folder.key, "fieldlab-sandbox")]
    wanted += [(folder.host_key(name), name) for name in names]
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "")
    return [
        subprocess.Popen([*argv, "-C", comment, "-f", str(file)], stdin=subprocess.DEVNULL)
        for file, comment in wanted
    ]


def _end_keys(keys: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all keys are there.

    Raises
    ------
    SandboxError
        One couldn't be made.
    """
    for process in keys:
        if process.wait() != 0:
            raise SandboxError(f"`{' '.join(map(str, process.args))}` failed")  # type: ignore[arg-type]
