"""A simulated Search Console: Google's wire protocol on loopback, with synthetic or exported numbers.

The same properties at the same time always give the same numbers. The simulator shares no code with the
modules that read Search Console, so no mistake can hide by being on both sides.
"""

from gsc_pipeline.simulator.errors import AddressInUseError, ExportError, SimulatorError
from gsc_pipeline.simulator.facts import Facts, FiltersSee, Property
from gsc_pipeline.simulator.folder import FolderProperty
from gsc_pipeline.simulator.replay.property import ReplayedProperty
from gsc_pipeline.simulator.synthetic.planted import PlantedFinding
from gsc_pipeline.simulator.synthetic.property import LargeProperty, SyntheticProperty
from gsc_pipeline.simulator.wire.hours import visible_hours
from gsc_pipeline.simulator.wire.incidents import incident
from gsc_pipeline.simulator.wire.inspections import InspectionQuota, inspection
from gsc_pipeline.simulator.wire.keys import write_oauth_client, write_service_account_key
from gsc_pipeline.simulator.wire.paging import Paging
from gsc_pipeline.simulator.wire.provisional import first_incomplete_day, is_complete, visible_facts
from gsc_pipeline.simulator.wire.replies import Reply, google_error, token_error
from gsc_pipeline.simulator.wire.revisions import Revised, Revision
from gsc_pipeline.simulator.wire.server import Call, Faults, Simulator
from gsc_pipeline.simulator.wire.serving import serve_forever, serving
from gsc_pipeline.simulator.wire.sitemaps import listed_sitemaps

__all__ = [
    "AddressInUseError",
    "Call",
    "ExportError",
    "Facts",
    "Faults",
    "FiltersSee",
    "FolderProperty",
    "InspectionQuota",
    "LargeProperty",
    "Paging",
    "PlantedFinding",
    "Property",
    "ReplayedProperty",
    "Reply",
    "Revised",
    "Revision",
    "Simulator",
    "SimulatorError",
    "SyntheticProperty",
    "first_incomplete_day",
    "google_error",
    "incident",
    "inspection",
    "is_complete",
    "listed_sitemaps",
    "serve_forever",
    "serving",
    "token_error",
    "visible_facts",
    "visible_hours",
    "write_oauth_client",
    "write_service_account_key",
]
