"""A lake in a bucket is served as one in a folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsc_pipeline_tests.assistants.served import DAYS, FOREIGN, Served, command, connected
from gsc_pipeline_tests.cluster.bucket import serving_bucket


@pytest.mark.soak
def test_a_lake_in_a_bucket_is_served_and_closed_to_the_sql(served: Served) -> None:
    with serving_bucket() as bucket:
        uri = bucket.upload(Path(served.world.lake.uri), "lake")
        environment = {**served.environment(), **bucket.environment, "GSC_LAKE": uri}
        with connected(command(environment, "--workspace", "acme")) as assistant:
            assert assistant.query("SELECT count(*) FROM sync_ledger").data["rows"] == [[DAYS]]
            assert assistant.query("SELECT DISTINCT workspace FROM sync_runs").data["rows"] == [["acme"]]
            for sql in (f"SELECT * FROM delta_scan('{uri}/sync_ledger')", f"SELECT * FROM glob('{uri}/**')"):
                reply = assistant.query(sql)
                assert reply.is_error
                assert FOREIGN not in reply.text
            report = assistant.call("report", workspace="acme")
            assert report.data["figures"]["clicks"]
