"""The tree of a lab: projects, their experiments, the experiments' campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from fieldlab.notebook.progress import progress_text, shown_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fieldlab.ports.store import Campaign
    from fieldlab.store.registry import ExperimentNode, ProjectNode

_STYLE = "margin:0;padding-left:1.4em;list-style:none;line-height:1.6"
_DIM = "opacity:0.65"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A line of the tree, and what hangs below it."""

    name: str
    #: what is to be said about it
    said: str
    branches: tuple[Branch, ...] = ()


class LabTree:
    """The tree of a lab as it was when it was read: text, or HTML in a notebook."""

    def __init__(self, roots: Sequence[Branch]) -> None:
        self.roots = tuple(roots)

    def __repr__(self) -> str:
        if not self.roots:
            return "The lab is empty: no project, no experiment"
        return "\n".join(line for root in self.roots for line in _lines(root))

    def _repr_html_(self) -> str:
        if not self.roots:
            return f"<em>{escape(repr(self))}</em>"
        return f'<div class="fieldlab-tree">{_list(self.roots)}</div>'


def tree_of(projects: Sequence[ProjectNode], engines: Mapping[int, int]) -> LabTree:
    """Make the tree of what the registry says.

    Parameters
    ----------
    engines
        How many are alive, by the ids of the campaigns that were running.
    """
    return LabTree([_project(each, engines) for each in projects])


def _project(node: ProjectNode, engines: Mapping[int, int]) -> Branch:
    return Branch(
        name=node.name or "(no project)",
        said=_joined(node.title, f"paid by {node.funding}" if node.funding else ""),
        branches=(
            *(_project(each, engines) for each in node.projects),
            *(_experiment(each, engines) for each in node.experiments),
        ),
    )


def _experiment(node: ExperimentNode, engines: Mapping[int, int]) -> Branch:
    return Branch(
        name=node.name,
        said=_joined(
            " ".join(node.description.split()),
            f"by {node.experimenter}" if node.experimenter else "",
            f"paid by {node.funding}" if node.funding else "",
        ),
        branches=tuple(_campaign(each, engines) for each in node.campaigns),
    )


def _campaign(campaign: Campaign, engines: Mapping[int, int]) -> Branch:
    state = shown_state(campaign, engines.get(campaign.id, 1))
    failed = f"{campaign.failed:,} failed" if campaign.failed else ""
    return Branch(name=campaign.name, said=_joined(state, progress_text(campaign), failed))


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _lines(branch: Branch) -> Iterator[str]:
    yield f"{branch.name}  {branch.said}".rstrip()
    for place, below in enumerate(branch.branches, start=1):
        last = place == len(branch.branches)
        first, *others = _lines(below)
        yield ("└── " if last else "├── ") + first
        for line in others:
            yield ("    " if last else "│   ") + line


def _list(branches: Sequence[Branch]) -> str:
    return f'<ul style="{_STYLE}">{"".join(map(_item, branches))}</ul>'


def _item(branch: Branch) -> str:
    said = f'<span style="{_DIM}">{escape(branch.said)}</span>'
    text = f"<strong>{escape(branch.name)}</strong> {said}"
    if not branch.branches:
        return f"<li>{text}</li>"
    return f"<li><details open><summary>{text}</summary>{_list(branch.branches)}</details></li>"
