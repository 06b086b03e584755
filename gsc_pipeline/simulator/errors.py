"""The exceptions of the simulator.

    SimulatorError
    ├── ExportError         a folder of Search Console's export cannot be replayed
    └── AddressInUseError   the port is in use

An error on the wire is a reply (`wire.replies`), not an exception.
"""

from gsc_pipeline.errors import PipelineError


class SimulatorError(PipelineError):
    """A simulator cannot be created or started. The message is one line for the user."""


class ExportError(SimulatorError):
    """A folder or file of an export is not usable. The message names file, line, value and expected form."""


class AddressInUseError(SimulatorError):
    """Another process already listens on the port."""
