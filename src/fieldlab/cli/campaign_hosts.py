"""The hosts of a campaign over ssh: how they stand, who holds them, what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from fieldlab.cli.campaign_views import CampaignView, waits_for_hosts
from fieldlab.cli.machines import machine_document
from fieldlab.cli.output import joined, local_time
from fieldlab.domain.sites import HostState
from fieldlab.domain.trials import CampaignState

if TYPE_CHECKING:
    from fieldlab.app import Lab
    from fieldlab.ports.ledger import HostStanding
    from fieldlab.ports.store import Campaign
    from fieldlab.store.host_views import HostEvent

#: steps of hosts that are shown, the last ones
_MOST_EVENTS = 20
#: what is in these states waits for nothing
_OVER = (CampaignState.FINISHED, CampaignState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignHosts:
    """The hosts that a campaign may use; none unless it runs over ssh."""

    campaign: Campaign
    hosts: Sequence[HostStanding] = ()
    #: engines that hold some → the names of their campaigns
    holders: Mapping[str, str] = field(default_factory=dict)
    #: the last steps that they took while the campaign went on
    events: Sequence[HostEvent] = ()

    def fault_of(self, host: HostStanding) -> str:
        """Say why the campaign can't have a host now, or nothing."""
        if host.state is not HostState.READY:
            return f"{host.state}{f' ({host.note})' if host.note else ''}"
        holder = self.holders.get(host.engine_id, "")
        return f"held by {holder}" if holder not in ("", self.campaign.name) else ""

    @property
    def faults(self) -> str:
        """Say which hosts the campaign can't have now, and why."""
        said = ((host.name, self.fault_of(host)) for host in self.hosts)
        return joined(f"{name} {fault}" for name, fault in said if fault)

    def lines(self) -> list[str]:
        """Say how each of them stands: ``h2  lost (no answer)``."""
        width = max((len(host.name) for host in self.hosts), default=0)
        return [f"{host.name:<{width}}  {self._described(host)}" for host in self.hosts]

    def _described(self, host: HostStanding) -> str:
        holder = self.holders.get(host.engine_id, "")
        # "waves.1 3fa9c1d2/1" says the campaign itself
        purpose = host.held_for.removeprefix(holder).strip()
        held = f"held by {holder}{f' for {purpose}' if purpose else ''}" if holder else ""
        since = f"since {local_time(host.held_at)}" if held and host.held_at else ""
        state = host.state.value
        if host.state is not HostState.READY and host.note:
            state = f"{state} ({host.note})"
        return joined([state, joined([held, since], " ") or ("free" if state == "ready" else "")])

    def waited_for(self, view: CampaignView) -> str:
        """Say which hosts a campaign waits for if it runs nothing for want of them."""
        works = view.state == CampaignState.RUNNING or waits_for_hosts(self.campaign)
        has_some = self.campaign.name in self.holders.values()
        if not works or has_some or (view.activity and view.activity.running):
            return ""
        return f"waits for hosts: {self.faults}" if self.faults else ""

    def wanting(self, view: CampaignView) -> str:
        """Say in a line which hosts a campaign lacks, while it isn't over."""
        return "" if view.state in _OVER else self.waited_for(view) or self.faults

    def document(self) -> dict[str, Any]:
        """Write them for programs."""
        hosts = [
            {
                **machine_document(host),
                "held_by": self.holders.get(host.engine_id),
                "fault": self.fault_of(host),
            }
            for host in self.hosts
        ]
        return {"hosts": hosts, "host_events": [asdict(each) for each in self.events]}


def hosts_of(lab: Lab, campaign: Campaign) -> CampaignHosts:
    """Look at the hosts that a campaign may use, and at what happened to them while it went on."""
    if campaign.definition.executor.kind != "ssh":
        return CampaignHosts(campaign=campaign)
    from fieldlab.store.holding import read_standing
    from fieldlab.store.host_views import holding_campaigns, host_events

    with lab.database.read() as connection:
        hosts = _usable(lab, campaign, read_standing(connection))
        holding = holding_campaigns(connection, {each.engine_id for each in hosts})
        events = host_events(
            connection,
            [each.id for each in hosts],
            since=campaign.started_at or campaign.created_at,
            until=campaign.ended_at,
            limit=_MOST_EVENTS,
        )
    names = {each: lab.store.campaign(each).name for each in set(holding.values())}
    holders = {engine_id: names[each] for engine_id, each in holding.items()}
    return CampaignHosts(campaign=campaign, hosts=hosts, holders=holders, events=events)


def _usable(lab: Lab, campaign: Campaign, known: Sequence[HostStanding]) -> list[HostStanding]:
    """Choose the hosts of its site that have its tags, as far as the settings know the site."""
    options, sites = campaign.definition.executor.options, lab.settings.sites
    name = options.get("site", "") or (next(iter(sites)) if len(sites) == 1 else "")
    found = [each for each in known if not name or each.site == name]
    if name not in sites:
        return found
    tags = set(options.get("tags", ()))
    usable = {each.identity for each in sites[name].hosts if tags <= set(each.tags)}
    return [each for each in found if each.identity in usable]
