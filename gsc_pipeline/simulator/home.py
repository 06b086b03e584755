"""A workspaces file and a key with which the pipeline syncs from a simulator.

The key opens nothing but simulators: it is made on the spot, and no Google service knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.keys import write_service_account_key

_MADE_HERE = "# Made by `gsc simulate --write`, which may overwrite it.\n"


def write_home(folder: Path, base_url: str, site_urls: Sequence[str]) -> Path:
    """Write `workspaces.yaml` and a key to `folder`, one workspace holding `site_urls`.

    Returns the workspaces file's path. Raises SimulatorError rather than overwrite a file not made here.
    """
    file = folder / "workspaces.yaml"
    if file.exists() and not file.read_text(encoding="utf-8").startswith(_MADE_HERE):
        raise SimulatorError(f"{file} was not made by the simulator: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "simulator-key.json"
    write_service_account_key(key, base_url=base_url, client_email="reader@simulator.example")
    workspace = {
        "id": "simulated",
        "properties": list(site_urls),
        "credentials": {"service_account_file": key.name},
    }
    text = yaml.safe_dump({"workspaces": [workspace]}, sort_keys=False)
    file.write_text(_MADE_HERE + text, encoding="utf-8")
    return file
