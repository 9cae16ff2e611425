"""Who, why and who pays: the groups `funding`, `project`, `experimenter` and `experiment`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, count, local_time, say, show_facts, write_json

if TYPE_CHECKING:
    from rich.tree import Tree

    from fieldlab.store.registry import Entry, ProjectNode

_NOTE = "Anything else worth knowing."
#: kind → field → what `--help` says of its option
_FIELDS: dict[str, dict[str, str]] = {
    "funding": {
        "agency": "Who pays.",
        "award": "The award's or grant's number.",
        "accounts": "Accounts that computation is charged to, separated by commas.",
        "budget": "An amount, such as 125000.50.",
        "currency": "Three letters, such as EUR.",
        "starts_on": "First day, as in 2026-01-31.",
        "ends_on": "Last day.",
        "note": _NOTE,
    },
    "project": {
        "title": "What it is about.",
        "funding": "The funding that pays for it.",
        "parent": "The project that it belongs to.",
        "repository": "Where its code lies.",
        "note": _NOTE,
    },
    "experimenter": {
        "full_name": "As it is written in publications.",
        "email": "An address.",
        "git_account": "Account at the git service.",
        "gcp_account": "Account at Google Cloud.",
        "aws_account": "Account at Amazon Web Services.",
        "cluster_account": "Account on the cluster.",
        "note": _NOTE,
    },
    "experiment": {
        "description": "What it is to show.",
        "code_link": "Where its code lies.",
        "commit": "Hash of the commit that it runs.",
        "environment": "The environment that it needs.",
        "cluster": "Where it runs.",
        "project": "The project that it belongs to.",
        "experimenter": "Who does it.",
        "funding": "The funding that pays for it.",
    },
}
#: fields that name an entry of another kind → that kind
_REFERENCES = {
    "funding": "funding",
    "parent": "project",
    "project": "project",
    "experimenter": "experimenter",
}
#: columns of `list`
_LISTED = {
    "funding": ("name", "agency", "award", "budget", "currency", "starts_on", "ends_on"),
    "project": ("name", "title", "funding", "parent"),
    "experimenter": ("name", "full_name", "email"),
    "experiment": ("name", "project", "experimenter", "funding", "campaigns", "trials"),
}
_NUMBERS = ("budget", "campaigns", "trials")
_HELP = {
    "funding": "Who pays: agencies, awards, budgets.",
    "project": "What experiments are for.",
    "experimenter": "Who does the experiments.",
    "experiment": "What each experiment links to: code, project, people, funding.",
}

Act = Callable[[str, Mapping[str, str], bool], None]


def register(app: typer.Typer) -> None:
    """Add the groups."""
    for kind in _FIELDS:
        group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
        if kind != "experiment":  # a run makes those, and their results stay
            group.command("add", help=f"Add {_a(kind)}.")(_command(kind, _adder(kind)))
        group.command("edit", help='Change some fields; "" takes a value away.')(
            _command(kind, _editor(kind))
        )
        group.command("list", help="List them all.")(_lister(kind))
        group.command("show", help="Show one.")(_shower(kind))
        if kind != "experiment":
            group.command("remove", help="Remove one that nothing uses.")(_remover(kind))
        if kind == "project":
            group.command("tree")(tree)
        app.add_typer(group, name=kind, help=_HELP[kind])


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}" if kind != "funding" else kind


def _completed(kind: str) -> Callable[[str], list[str]]:
    """Complete the names of a kind from the database; nothing when that fails."""

    def complete(incomplete: str) -> list[str]:
        with contextlib.suppress(Exception):
            from fieldlab.store import registry

            with opened() as lab, lab.database.read() as connection:
                names = {str(each["name"]) for each in registry.entries(connection, kind)}
            return sorted(name for name in names if name.startswith(incomplete))
        return []

    return complete


def _name_of(kind: str, *, new: bool = False) -> Any:
    what = "Letters, digits, _ and -." if new else "Its name."
    if kind == "experiment":
        what = "Its name; name.v2 is its second version, the newest is meant otherwise."
    complete = None if new else _completed(kind)
    return Annotated[str, typer.Argument(metavar="NAME", help=what, autocompletion=complete)]


def _command(kind: str, act: Act) -> Callable[..., None]:
    """Make a command with an option for every field of a kind."""

    def command(**given: Any) -> None:
        name, json = given.pop("name"), given.pop("json")
        act(name, {field: text for field, text in given.items() if text is not None}, json)

    types: dict[str, Any] = {"name": _name_of(kind, new=act.__name__ == "add")}
    for field, what in _FIELDS[kind].items():
        complete = _completed(_REFERENCES[field]) if field in _REFERENCES else None
        option = typer.Option(
            f"--{field.replace('_', '-')}", metavar="TEXT", help=what, autocompletion=complete
        )
        types[field] = Annotated[str | None, option]
    types["json"] = Json
    defaults: dict[str, Any] = {"name": inspect.Parameter.empty, "json": False}
    # typer reads the options off the signature
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name),
                annotation=annotation,
            )
            for name, annotation in types.items()
        ]
    )
    command.__annotations__ = types
    return command


def _adder(kind: str) -> Act:
    def add(name: str, texts: Mapping[str, str], json: bool) -> None:
        from fieldlab.store import registry

        with opened() as lab, lab.database.begin() as connection:
            registry.add(connection, kind, name, texts)
            added = registry.entry(connection, kind, name)
        _tell(added, f"Added {kind} '{name}'", json=json)

    return add


def _editor(kind: str) -> Act:
    def edit(name: str, texts: Mapping[str, str], json: bool) -> None:
        from fieldlab.store import registry

        with opened() as lab, lab.database.begin() as connection:
            registry.edit(connection, kind, name, texts)
            edited = registry.entry(connection, kind, name)
        _tell(edited, f"Changed {kind} '{name}'", json=json)

    return edit


def _tell(entry: Entry, text: str, *, json: bool) -> None:
    if json:
        write_json(entry)
    else:
        say(text)


def _remover(kind: str) -> Callable[..., None]:
    def remove(name: str, json: bool = False) -> None:
        from fieldlab.store import registry

        with opened() as lab, lab.database.begin() as connection:
            registry.remove(connection, kind, name)
        _tell({"removed": name}, f"Removed {kind} '{name}'", json=json)

    remove.__annotations__ |= {"name": _name_of(kind), "json": Json}
    return remove


def _lister(kind: str) -> Callable[..., None]:
    def entries(json: bool = False) -> None:
        from fieldlab.store import registry

        with opened() as lab, lab.database.read() as connection:
            found = registry.entries(connection, kind)
        if json:
            write_json(found)
        elif found:
            _show_entries(kind, found)
        elif kind == "experiment":
            say("There is no experiment yet; `fieldlab run` makes one")
        else:
            say(f"There is no {kind} yet; `fieldlab {kind} add NAME` adds one")

    entries.__annotations__["json"] = Json
    return entries


def _show_entries(kind: str, found: list[Entry]) -> None:
    from fieldlab.cli.tables import console, table

    columns = _LISTED[kind]
    made = table([each.replace("_", " ") for each in columns], right=_NUMBERS)
    for entry in found:
        made.add_row(*(_text(field, entry[field]) for field in columns))
    console().print(made)


def _text(field: str, value: object) -> str:
    if value is None:
        return ""
    if field == "budget":
        return f"{value:,}"
    return count(value) if isinstance(value, int) else str(value)


def _shower(kind: str) -> Callable[..., None]:
    def show(name: str, json: bool = False) -> None:
        from fieldlab.store import registry

        with opened() as lab, lab.database.read() as connection:
            entry = registry.entry(connection, kind, name)
            users = registry.users_of(connection, kind, name)
        if json:
            write_json({**entry, **({} if kind == "experiment" else {"used_by": users})})
            return
        said = [
            (field.replace("_", " "), _text(field, value))
            for field, value in entry.items()
            if field != "created_at"
        ]
        said.append(("added", local_time(entry["created_at"])))
        said += [(f"{user}s", ", ".join(names)) for user, names in users.items()]
        show_facts(said)

    show.__annotations__ |= {"name": _name_of(kind), "json": Json}
    return show


def tree(json: Json = False) -> None:
    """Show projects, their experiments, and the experiments' campaigns as a tree."""
    from fieldlab.store import registry

    with opened() as lab, lab.database.read() as connection:
        roots = registry.tree(connection)
    if json:
        write_json([_project_document(each) for each in roots])
        return
    if not roots:
        say("There is no project yet; `fieldlab project add NAME` adds one")
        return
    from rich.tree import Tree

    from fieldlab.cli.tables import console

    for root in roots:
        console().print(_grown(Tree(_project_label(root)), root))


def _project_label(node: ProjectNode) -> str:
    name = node.name or "(no project)"
    return f"{name}  {node.title}" if node.title else name


def _grown(branch: Tree, node: ProjectNode) -> Tree:
    """Hang what belongs to a project below it."""
    from fieldlab.notebook.progress import progress_text

    for project in node.projects:
        _grown(branch.add(_project_label(project)), project)
    for experiment in node.experiments:
        said = " ".join(experiment.description.split())
        twig = branch.add(f"{experiment.name}  {said}" if said else experiment.name)
        for campaign in experiment.campaigns:
            failed = f", {campaign.failed:,} failed" if campaign.failed else ""
            twig.add(f"{campaign.name}  {campaign.state}, {progress_text(campaign)}{failed}")
    return branch


def _project_document(node: ProjectNode) -> dict[str, Any]:
    return {
        "project": node.name or None,
        "title": node.title,
        "projects": [_project_document(each) for each in node.projects],
        "experiments": [
            {
                "experiment": experiment.name,
                "description": experiment.description,
                "campaigns": [
                    {
                        "name": campaign.name,
                        "state": campaign.state,
                        "done": campaign.done,
                        "succeeded": campaign.succeeded,
                        "failed": campaign.failed,
                        "total": campaign.total,
                    }
                    for campaign in experiment.campaigns
                ],
            }
            for experiment in node.experiments
        ],
    }
