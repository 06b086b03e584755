"""A workspaces file, a key and an OAuth client with which the pipeline can sync from a simulator.

The key is new, and no Google service accepts it or the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.wire.keys import write_oauth_client, write_service_account_key

_MADE_HERE = "# Made by `gsc simulate --write`, which may overwrite it.\n"


def write_home(folder: Path, base_url: str, site_urls: Sequence[str]) -> Path:
    """Write `workspaces.yaml`, a key and an OAuth client to `folder`, with one workspace of these properties.

    Returns the path of the workspaces file. Raises SimulatorError if the file exists and is not its own.
    """
    file = folder / "workspaces.yaml"
    if file.exists() and not file.read_text(encoding="utf-8").startswith(_MADE_HERE):
        raise SimulatorError(f"{file} was not made by the simulator: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "simulator-key.json"
    write_service_account_key(key, base_url=base_url, client_email="reader@simulator.example")
    write_oauth_client(folder / "oauth-client.json", base_url=base_url)
    workspace = {
        "id": "simulated",
        "properties": list(site_urls),
        "credentials": {"service_account_file": key.name},
    }
    text = yaml.safe_dump({"workspaces": [workspace]}, sort_keys=False)
    file.write_text(_MADE_HERE + text, encoding="utf-8")
    return file
