"""Starting and stopping: no thread or socket is left, a port in use is a clear error, signals stop it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import urllib3

from gsc_pipeline.simulator import AddressInUseError, Simulator, SimulatorError, SyntheticProperty, serving
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.waiting import HANG_SECONDS

FOREVER = """
from gsc_pipeline.simulator import Simulator, serve_forever
serve_forever(Simulator([]), host="127.0.0.1", port=0, on_ready=lambda url: print(url, flush=True))
print("stopped")
"""


def test_no_thread_and_no_socket_is_left_when_it_stops() -> None:
    before = threading.active_count()
    prop = SyntheticProperty("sc-domain:acme.example", rows_a_day=50)
    with Wire.to(Simulator([prop])) as wire:
        port = int(wire.url.rpartition(":")[2])
        assert wire.get("sites").status == 200
    assert threading.active_count() == before
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_it_stops_while_a_client_keeps_its_connection_open() -> None:
    with serving(Simulator([])) as url:
        pool = urllib3.PoolManager()
        assert pool.request("GET", url + "/").status == 404
    pool.clear()


def test_it_stops_when_the_context_raises() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), serving(Simulator([])):
        raise KeyError
    assert threading.active_count() == before


def test_several_simulators_run_at_once() -> None:
    with serving(Simulator([])) as one, serving(Simulator([])) as other:
        assert one != other


def test_a_port_in_use_is_an_error() -> None:
    with serving(Simulator([])) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(AddressInUseError, match=f"port {port} on 127.0.0.1 is in use"):
            serving(Simulator([]), port=port).__enter__()


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(SimulatorError, match=r"cannot listen on 192\.0\.2\.1"):
        serving(Simulator([]), host="192.0.2.1").__enter__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_stops_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FOREVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib3.PoolManager() as pool:
            assert pool.request("GET", url + "/").status == 404
        process.send_signal(number)
        out, errors = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, out, errors) == (0, "stopped\n", "")
