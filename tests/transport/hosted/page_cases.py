"""Requests of what links to pages: what is asked, what is answered, what is given."""

from __future__ import annotations

from tests.support.private import dataset_handle, slice_handle
from tests.transport.hosted.exchanges import HOSTILE, QUOTED, Case, get, opened, unknown_page


def pages() -> list[Case]:
    dashboard = "https://dashboard.scale.com/nucleus"
    unknown = "The hosted service's dashboard has no documented URL for runs"
    info = {"name": "S", "slice_id": "slc_2", "dataset_id": "ds_2"}
    return [
        Case(
            "NucleusClient.url",
            lambda at: [
                at.client.url(),
                at.client.url(at.dataset),
                dataset_handle(at.client, HOSTILE).url,
                unknown_page(lambda: at.client.url(at.run)),
            ],
            [],
            [dashboard, f"{dashboard}/ds_1", f"{dashboard}/{QUOTED}", unknown],
        ),
        Case("Dataset.url", lambda at: at.dataset.url, [], f"{dashboard}/ds_1"),
        Case("Dataset.open", opened, [], [f"{dashboard}/ds_1"] * 2),
        Case("ModelRun.url", lambda at: unknown_page(lambda: at.run.url), [], unknown),
        Case("Slice.url", lambda at: at.slice.url, [], f"{dashboard}/ds_1/slc_1"),
        Case(
            "Slice.url",
            lambda at: slice_handle(at.client, "slc_2").url,
            [get("slice/slc_2/info", info)],
            f"{dashboard}/ds_2/slc_2",
        ),
    ]
