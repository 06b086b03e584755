"""Everything the simulator raises on purpose.

    SimulatorError
    ├── ExportError         a folder of Search Console's export that cannot be replayed
    └── AddressInUseError   the port to serve on is taken

Belongs here: errors for the person who starts a simulator. Does not: refusals on the wire, which are
answers, not exceptions (`replies`, `queries.Refusal`).
"""

from gsc_pipeline.errors import PipelineError


class SimulatorError(PipelineError):
    """A simulator cannot be made or started; the message is one line, fit to be shown as it is."""


class ExportError(SimulatorError):
    """A folder or file of an export is unusable; names file, line, value and what was expected."""


class AddressInUseError(SimulatorError):
    """Another process listens on the port already."""
