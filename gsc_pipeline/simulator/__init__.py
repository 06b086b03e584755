"""A Search Console that runs anywhere: Google's wire protocol on loopback, over made-up or exported numbers.

Deterministic: the same properties at the same time give the same numbers. It shares no code with the
parts of the project that read Search Console, so a mistake there cannot hide behind the same one here.
"""

from gsc_pipeline.simulator.answers import MOST_ROWS_A_DAY
from gsc_pipeline.simulator.errors import AddressInUseError, ExportError, SimulatorError
from gsc_pipeline.simulator.facts import ANONYMIZED, Facts, Labels, Property
from gsc_pipeline.simulator.hours import HourlyFacts, hours_of, visible_hours
from gsc_pipeline.simulator.inspections import InspectionQuota, inspection
from gsc_pipeline.simulator.keys import authorized_user_info, write_service_account_key
from gsc_pipeline.simulator.paging import Paging
from gsc_pipeline.simulator.plants import Plant
from gsc_pipeline.simulator.provisional import first_incomplete_day, is_complete, visible_facts
from gsc_pipeline.simulator.replay import ReplayedProperty
from gsc_pipeline.simulator.replies import Reply, google_error, token_error
from gsc_pipeline.simulator.revisions import Revised, Revision
from gsc_pipeline.simulator.server import Call, Faults, Simulator
from gsc_pipeline.simulator.serving import serve_forever, serving
from gsc_pipeline.simulator.sitemaps import listed_sitemaps
from gsc_pipeline.simulator.synthetic import SyntheticProperty
from gsc_pipeline.simulator.truth import (
    appearance_truth,
    hourly_site_truth,
    hourly_url_truth,
    site_truth,
    url_truth,
    with_appearance,
)

__all__ = [
    "ANONYMIZED",
    "MOST_ROWS_A_DAY",
    "AddressInUseError",
    "Call",
    "ExportError",
    "Facts",
    "Faults",
    "HourlyFacts",
    "InspectionQuota",
    "Labels",
    "Paging",
    "Plant",
    "Property",
    "ReplayedProperty",
    "Reply",
    "Revised",
    "Revision",
    "Simulator",
    "SimulatorError",
    "SyntheticProperty",
    "appearance_truth",
    "authorized_user_info",
    "first_incomplete_day",
    "google_error",
    "hourly_site_truth",
    "hourly_url_truth",
    "hours_of",
    "inspection",
    "is_complete",
    "listed_sitemaps",
    "serve_forever",
    "serving",
    "site_truth",
    "token_error",
    "url_truth",
    "visible_facts",
    "visible_hours",
    "with_appearance",
    "write_service_account_key",
]
