"""Service-account keys for the simulator, all with one RSA key: generating one takes 50 ms of CPU."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gsc_pipeline.simulator import write_service_account_key


def write_key(path: Path, *, base_url: str, client_email: str) -> None:
    """Write a key as `write_service_account_key` does, but not a new RSA key for each."""
    key = _key() | {"client_email": client_email, "token_uri": f"{base_url}/token"}
    path.write_text(json.dumps(key), encoding="utf-8")
    path.chmod(0o600)


@cache
def _key() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key.json"
        write_service_account_key(file, base_url="http://127.0.0.1", client_email="nobody@example.com")
        key: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return key
