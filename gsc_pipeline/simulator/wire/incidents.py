"""The incidents of Google's Search Status Dashboard, as its `incidents.json` lists them: newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def incident(
    id_: str, title: str, begin: str, end: str | None = None, *, product: str = "Ranking"
) -> dict[str, Any]:
    """One incident in the format of the wire; `end` is absent while it goes on."""
    status = "AVAILABLE" if end else "SERVICE_INFORMATION"
    text = "The rollout is complete." if end else f"Released the {title}. It may take two weeks to complete."
    update = {"created": begin, "modified": begin, "when": end or begin, "text": text, "status": status}
    return {
        "id": id_,
        "number": "1",
        "begin": begin,
        "created": begin,
        **({"end": end} if end else {}),
        "modified": end or begin,
        "external_desc": title,
        "updates": [update],
        "most_recent_update": update,
        "status_impact": "SERVICE_INFORMATION",
        "severity": "low",
        "service_key": f"{product.lower()}Key",
        "service_name": product,
        "affected_products": [{"title": product, "id": f"{product.lower()}Key"}],
        "uri": f"incidents/{id_}",
    }


INCIDENTS: Sequence[dict[str, Any]] = (
    incident("simulatedNovember26", "November 2026 core update", "2026-11-12T17:00:00+00:00"),
    incident(
        "simulatedServing26",
        "Serving issue",
        "2026-11-03T08:00:00+00:00",
        "2026-11-03T09:00:00+00:00",
        product="Serving",
    ),
    incident(
        "simulatedOctober26",
        "October 2026 Discover update",
        "2026-10-13T16:00:00+00:00",
        "2026-10-29T04:30:00+00:00",
    ),
    incident(
        "XhUDXP7A67iHCD2kmbVu",
        "September 2026 spam update",
        "2026-09-24T16:15:00+00:00",
        "2026-10-08T08:00:00+00:00",
    ),
)
"""Two made-up ranking updates, one of which goes on, and one that the project ships."""
