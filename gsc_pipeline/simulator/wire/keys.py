"""Credentials that work with a simulator, in the form that Google issues them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gsc_pipeline.simulator.wire.authorization import CLIENT_ID, CLIENT_SECRET


def write_service_account_key(path: Path, *, base_url: str, client_email: str) -> None:
    """Write a service-account key for the simulator at `base_url`, with mode 0600.

    It has Google's format, with a new RSA key of 2,048 bits and the simulator's `/token` as `token_uri`. An
    existing file is replaced.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {
        "type": "service_account",
        "project_id": "simulated-search-console",
        "private_key_id": os.urandom(20).hex(),
        "private_key": pem.decode(),
        "client_email": client_email,
        "client_id": "100000000000000000000",
        "auth_uri": base_url.rstrip("/") + "/o/oauth2/auth",
        "token_uri": base_url.rstrip("/") + "/token",
        "universe_domain": "googleapis.com",
    }
    _write(path, info)


def write_oauth_client(path: Path, *, base_url: str) -> None:
    """Write the simulator's OAuth client, as Google's file for a client of the type Desktop app."""
    base = base_url.rstrip("/")
    client = {
        "client_id": CLIENT_ID,
        "project_id": "simulated-search-console",
        "auth_uri": f"{base}/o/oauth2/auth",
        "token_uri": f"{base}/token",
        "client_secret": CLIENT_SECRET,
        "redirect_uris": ["http://localhost"],
    }
    _write(path, {"installed": client})


def _write(path: Path, info: object) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(info, file, indent=2)
        file.write("\n")
