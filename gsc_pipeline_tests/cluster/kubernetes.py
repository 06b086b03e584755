"""A Kubernetes API on loopback that knows jobs, and starts each job's container as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from gsc_pipeline_tests.waiting import HANG_SECONDS

TOKEN = "made-up"


@dataclass(frozen=True)
class Pod:
    """The container of a job, as a process: its manifest, its folder in place of `/`, its output."""

    manifest: dict[str, Any]
    root: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What the container printed."""
        return (self.root / "log").read_text(encoding="utf-8")

    @property
    def status(self) -> dict[str, int]:
        """The job's status, in Kubernetes' form."""
        code = self.process.poll()
        return {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}

    def kill(self) -> None:
        """End every process of the container, without a chance to say goodbye."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(HANG_SECONDS)


@dataclass
class Cluster:
    """The objects of one namespace: what `kubectl create` made, and the jobs that Dagster started."""

    folder: Path
    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]
    image: Mapping[str, str]
    """The variables that the image sets."""
    pods: dict[str, Pod] = field(default_factory=dict)

    def start(self, manifest: dict[str, Any]) -> None:
        """Start the container of a job, with the variables and files that its manifest asks for.

        Files lie in a folder of the pod's own in place of `/`, and paths in variables are moved there.
        """
        name = manifest["metadata"]["name"]
        root = self.folder / name
        spec = manifest["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        volumes = {one["name"]: one for one in spec["volumes"]}
        places = [one["mountPath"] for one in container["volumeMounts"]]
        for mount in container["volumeMounts"]:
            self._mount(volumes[mount["name"]], mount, root)
        home = root / "opt" / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        variables = {**self.image, **self._variables(container)}
        places.append("/opt/dagster")
        moved = {name: _moved(value, places, root) for name, value in variables.items()}
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name(container["args"][0])), *container["args"][1:]],
                env={"PATH": os.environ["PATH"], **moved},
                cwd=home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pods[name] = Pod(manifest, root, process)

    def _variables(self, container: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            if "configMapRef" in source:
                found |= self.config_maps[source["configMapRef"]["name"]]
            else:
                found |= self.secrets[source["secretRef"]["name"]]
        for one in container["env"]:
            if "value" in one:
                found[one["name"]] = one["value"]
            else:
                reference = one["valueFrom"]["secretKeyRef"]
                found[one["name"]] = self.secrets[reference["name"]][reference["key"]]
        return found

    def _mount(self, volume: dict[str, Any], mount: dict[str, Any], root: Path) -> None:
        target = root / mount["mountPath"].lstrip("/")
        if "emptyDir" in volume:
            target.mkdir(parents=True)
            return
        if "secret" in volume:
            source = volume["secret"]
            files, mode = self.secrets[source["secretName"]], source.get("defaultMode", 0o644)
        else:
            given = self.config_maps[volume["configMap"]["name"]]
            files = {name: _with_keys_below(root, content) for name, content in given.items()}
            mode = 0o644
        if part := mount.get("subPath"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[part], encoding="utf-8")
            return
        # As the kubelet does: files are links to links, which it replaces all at once.
        version = target / "..2026_11_29"
        version.mkdir(parents=True)
        (target / "..data").symlink_to(version.name)
        for name, content in files.items():
            (version / name).write_text(content, encoding="utf-8")
            (version / name).chmod(mode)
            (target / name).symlink_to(Path("..data") / name)


def _moved(value: str, places: list[str], root: Path) -> str:
    """The value with a path of the container as the same path below `root`."""
    pattern = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
    return re.sub(rf"^(?={pattern})", str(root), value)


def _with_keys_below(root: Path, content: str) -> str:
    """A workspaces file with the keys where this pod has them."""
    return content.replace("/etc/gsc-keys/", f"{root}/etc/gsc-keys/")


@contextmanager
def serving_kubernetes(cluster: Cluster) -> Iterator[Path]:
    """Serve the cluster's API until the block ends; the path is that of a kubeconfig for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            cluster.start(manifest)
            self._answer(201, manifest)

        def do_GET(self) -> None:
            path = self.path.split("?")[0].removesuffix("/status")
            if path.endswith(("/pods", "/events")):
                self._answer(200, {"kind": "List", "items": []})
            elif pod := cluster.pods.get(path.rpartition("/")[2]):
                self._answer(200, {**pod.manifest, "status": pod.status})
            else:
                self._answer(404, {"kind": "Status", "code": 404})

        def do_DELETE(self) -> None:
            pod = cluster.pods[self.path.split("?")[0].rpartition("/")[2]]
            pod.kill()
            self._answer(200, {"kind": "Status", "status": "Success"})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield _kubeconfig(cluster.folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for pod in cluster.pods.values():
            pod.kill()


def _kubeconfig(folder: Path, url: str) -> Path:
    file = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file
