"""Credentials of users that work with a simulator."""

from __future__ import annotations


def authorized_user_info(
    base_url: str,
    *,
    client_id: str = "simulated.apps.googleusercontent.com",
    client_secret: str = "simulated-secret",
    refresh_token: str = "1//simulated-refresh-token",
) -> dict[str, str]:
    """An authorized-user document for the simulator at `base_url`, as an OAuth flow leaves it behind.

    Its subject is `client_id`.
    """
    return {
        "type": "authorized_user",
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": refresh_token,
        "token_uri": base_url.rstrip("/") + "/token",
    }
