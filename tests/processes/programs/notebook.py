"""Runs a notebook in a kernel, twice, as one does who restarts it; prints what its cells return."""

from __future__ import annotations

import json
from typing import Any

import nbclient
import nbformat

NOTEBOOK = """
import asyncio, json, os
import httpx, httpx2, niquests, requests
import oauth_auth.httpx, oauth_auth.httpx2, oauth_auth.niquests, oauth_auth.requests
from oauth_auth.stores import FileTokenStore
settings = json.loads(os.environ["SETTINGS"])
api, store = settings["api_url"], FileTokenStore(settings["store"])
auths = [
    plugin.ClientCredentialsAuth(*settings["client"], store=store)
    for plugin in (oauth_auth.requests, oauth_auth.httpx, oauth_auth.httpx2, oauth_auth.niquests)
]
first, second, third, fourth = auths
asyncio.get_running_loop().is_running()

# Sync clients, though a loop runs.
requests.get(api, auth=first).status_code

httpx.get(api, auth=second).status_code

httpx2.get(api, auth=third).status_code

niquests.get(api, auth=fourth).status_code

len({auth.get_token().access_token for auth in auths})

# Async ones, with `await` at the top.
async with httpx.AsyncClient(auth=second) as client:
    answer = await client.get(api)
answer.status_code

async with httpx2.AsyncClient(auth=third) as client:
    answer = await client.get(api)
answer.status_code

async with niquests.AsyncSession() as session:
    answer = await session.get(api, auth=fourth)
answer.status_code

len({(await auth.aget_token()).access_token for auth in (second, third, fourth)})

# A renewal, and one that takes what the first has brought.
first.refresh() != second.token

await second.arefresh() == first.token
"""


def results() -> list[str]:
    """Run the notebook in a new kernel, each paragraph as a cell."""
    form: Any = nbformat.v4
    notebook = form.new_notebook(cells=[form.new_code_cell(cell) for cell in NOTEBOOK.strip().split("\n\n")])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return ["".join(output.data["text/plain"] for output in cell.outputs) for cell in notebook.cells]


if __name__ == "__main__":
    print(json.dumps([results(), results()]))
