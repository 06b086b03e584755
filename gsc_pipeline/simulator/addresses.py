"""The addresses that belong to a property."""

from __future__ import annotations

from urllib.parse import urlsplit


def host_of(site_url: str) -> str:
    """The host of the property's pages: with `www.` in front for a domain property."""
    if site_url.startswith("sc-domain:"):
        return "www." + site_url.removeprefix("sc-domain:")
    return urlsplit(site_url).netloc


def root_of(site_url: str) -> str:
    """The address that the property's pages begin with, up to a slash."""
    return f"https://{host_of(site_url)}/" if site_url.startswith("sc-domain:") else site_url


def belongs(site_url: str, url: str) -> bool:
    """Whether the property covers the address: a domain with its subdomains, or everything under a prefix."""
    if not site_url.startswith("sc-domain:"):
        return url.startswith(site_url)
    domain = site_url.removeprefix("sc-domain:")
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and (host == domain or host.endswith(f".{domain}"))
