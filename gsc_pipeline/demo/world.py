"""The demonstration: three made-up workspaces, and the simulator that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gsc_pipeline.days import pacific_today, utc_now
from gsc_pipeline.simulator import (
    Property,
    ReplayedProperty,
    Simulator,
    SyntheticProperty,
    serving,
    write_service_account_key,
)

EXPORT = Path(__file__).parent / "export"
"""Search Console's export of a made-up shop, as the export button writes it."""

WORKSPACES: tuple[dict[str, Any], ...] = (
    {
        "id": "acme",
        "name": "Acme Inc.",
        "properties": ["sc-domain:acme.example", "https://shop.acme.example/"],
        "brand_terms": ["acme", "ac me"],
    },
    {"id": "globex", "name": "Globex", "properties": "all", "brand_terms": ["globex"]},
    {
        "id": "bluebird",
        "name": "Bluebird Coffee (a replayed export)",
        "properties": ["sc-domain:bluebirdcoffee.example"],
        "brand_terms": ["bluebird", "blue bird"],
    },
)
"""The demonstration's entries of a workspaces file, without credentials."""


@contextmanager
def demonstration(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the demonstration while the context lasts, and yield its settings as environment variables.

    Writes the workspaces file and new keys to `folder`. The lake is in `folder` too, and is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with serving(Simulator(properties())) as url:
        yield {
            "GSC_API_URL": url,
            "GSC_WORKSPACES_FILE": str(_write_files(folder, url)),
            "GSC_LAKE": str(folder / "lake"),
        }


def properties() -> list[Property]:
    """The properties of the workspaces, each readable by its workspace's account only."""
    acme, globex, bluebird = (frozenset({_email(workspace["id"])}) for workspace in WORKSPACES)
    return [
        SyntheticProperty("sc-domain:acme.example", readers=acme),
        SyntheticProperty("https://shop.acme.example/", readers=acme),
        SyntheticProperty("sc-domain:globex.example", readers=globex),
        ReplayedProperty.from_export(EXPORT, until=pacific_today(utc_now()), readers=bluebird),
    ]


def _email(workspace_id: str) -> str:
    return f"{workspace_id}@example.com"


def _write_files(folder: Path, url: str) -> Path:
    entries = []
    for workspace in WORKSPACES:
        key = folder / f"{workspace['id']}-key.json"
        write_service_account_key(key, base_url=url, client_email=_email(workspace["id"]))
        entries.append({**workspace, "credentials": {"service_account_file": key.name}})
    file = folder / "workspaces.yaml"
    file.write_text(yaml.safe_dump({"workspaces": entries}, sort_keys=False), encoding="utf-8")
    return file
