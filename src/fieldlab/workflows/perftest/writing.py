"""Writing what was imported: a definition as YAML, a site as a part of ``fieldlab.toml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fieldlab.domain.sites import HostSpec, Site
from fieldlab.workflows.perftest.importing import ImportedCampaign
from fieldlab.workflows.perftest.machines import Machine

#: text that YAML reads as the text that it is
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|~?/[A-Za-z0-9_./-]+|~/[A-Za-z0-9_./-]+")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"})


def definition_text(campaign: ImportedCampaign) -> str:
    """Write a definition as YAML: a key a line, lists and points in one line each."""
    return "\n".join(_lines(campaign.definition, "")) + "\n"


def _lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {_flow(each)}" for each in value)
        else:
            yield f"{indent}{name}: {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def sites_text(campaigns: Iterable[ImportedCampaign]) -> str:
    """Write the sites of campaigns as tables of ``fieldlab.toml``."""
    sites = {each.site.name: each for each in campaigns}
    return "\n".join(_site(each.site, each.machines) for each in sites.values())


def _site(site: Site, machines: Iterable[Machine]) -> str:
    plugs = {each.name: each for each in machines if each.plug_name or each.plug_address}
    shared = {
        name: values.pop()
        for name in ("user", "key", "interface")
        if len(values := {getattr(host, name) for host in site.hosts}) == 1
    }
    lines = [f"[sites.{site.name}]"]
    lines += [f"{name} = {_toml(value)}" for name, value in shared.items() if value]
    if not shared.get("interface"):
        lines += ['# the network interface that tests use, for noise: interface = "eth0"']
    for host in site.hosts:
        lines += ["", f"[[sites.{site.name}.hosts]]", *_host(host, shared)]
        if host.name in plugs:
            plug = plugs[host.name]
            known = " ".join(each for each in (plug.plug_name, plug.plug_address) if each)
            lines += [
                f"# its smart plug is {known}; a program that switches it off and on again:",
                f'# power_cycle = ["your-plug-program", {_toml(plug.plug_address or known)}]',
            ]
    return "\n".join(lines) + "\n"


def _host(host: HostSpec, shared: Mapping[str, str]) -> Iterator[str]:
    yield f"name = {_toml(host.name)}"
    yield f"address = {_toml(host.address)}"
    for name in ("user", "key"):
        value = getattr(host, name)
        if value and name not in shared:
            yield f"{name} = {_toml(value)}"
    yield f"roles = {_toml(list(host.roles))}"


def _toml(value: str | list[str]) -> str:
    """Write text or a list of texts; TOML's basic strings are JSON's."""
    return json.dumps(value, ensure_ascii=False)
