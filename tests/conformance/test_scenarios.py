"""The official conformance tool of MCP finds nothing wrong with a client whose `auth` is a `ResourceAuth`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.conformance.client import Clients
from tests.servers.mcp_servers import FOLDER
from tests.servers.node_server import require_node

ROOT = FOLDER.parents[2]
PACKAGE = "@modelcontextprotocol/conformance"

CURRENT = [
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
    "auth/client-credentials-basic",
    "auth/client-credentials-jwt",
    "auth/dpop",
    "auth/dpop-nonce",
]
"""The scenarios of the revision 2026-07-28 in which a client ends well, and of its extensions: services, and tokens
that are bound to a key."""
OLD = ["auth/2025-03-26-oauth-metadata-backcompat"]
"""Those of the revision 2025-03-26."""
LEFT_OUT = {
    "auth/2025-03-26-oauth-endpoint-fallback": "endpoints that no metadata names are guessed",
    "auth/enterprise-managed-authorization": "an identity provider of the enterprise issues an assertion",
    "auth/wif-jwt-bearer": "the workload has an assertion",
}
"""By scenario, what it's about that `ResourceAuth` doesn't do."""


ENDS = {
    "auth/scope-retry-limit": "MCPError",
    "auth/resource-mismatch": "DiscoveryError",
    "auth/iss-supported-missing": "AuthorizationResponseError",
    "auth/iss-wrong-issuer": "AuthorizationResponseError",
    "auth/iss-unexpected": "AuthorizationResponseError",
    "auth/iss-normalized": "AuthorizationResponseError",
    "auth/metadata-issuer-mismatch": "DiscoveryError",
}
"""By each of its others, the error in which the client is to end: the tool takes any there, and elsewhere none."""


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the conformance tool."""
    program = require_node(FOLDER, PACKAGE, (22, 0))
    script = FOLDER / "node_modules" / PACKAGE / "dist" / "index.js"
    return subprocess.run(
        [program, str(script), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )


def run(scenarios: Collection[str], folder: Path, *arguments: str) -> tuple[dict[str, str], int]:
    """Run the tool with these arguments and clients for the scenarios.

    Returns by scenario how it went, which is how the client ended, and the checks that failed or warned, if any; and
    the tool's exit status. What it wrote is shown where a test fails.
    """
    with Clients(scenarios) as clients:
        ran = tool(
            "client", "--command", clients.command, "--timeout", "150000", *arguments, "--output-dir", str(folder)
        )
    sys.stderr.write(ran.stderr)
    went = {}
    for results in folder.rglob("checks.json"):
        # The tool's folder for `auth/dpop` is `auth/dpop-<when>`.
        path = results.parent.relative_to(folder).as_posix()
        scenario = next((name for name in scenarios if re.fullmatch(rf"{name}-\d{{4}}-\d\d-\d\dT.*", path)), None)
        if scenario is not None:
            wrong = [check for check in json.loads(results.read_text()) if check["status"] in {"FAILURE", "WARNING"}]
            said = [f"{check['id']}: {check.get('errorMessage', check['description'])}" for check in wrong]
            went[scenario] = "; ".join([clients.ends.get(scenario, "didn't end"), *said])
    return went, ran.returncode


def test_every_scenario_has_a_place() -> None:
    """The tool's scenarios of authorization are run, or left out for a reason that is told."""
    listed = re.findall(r"- (auth/\S+)", tool("list", "--client").stdout)
    assert sorted(listed) == sorted([*CURRENT, *ENDS, *OLD, *LEFT_OUT])


def test_scenarios_are_passed(tmp_path: Path) -> None:
    """In a scenario of today's revision, and its extensions, no check fails or warns, and the client ends well."""
    went, _ = run(CURRENT, tmp_path, "--requirements", "2026-07-28")
    assert went == dict.fromkeys(CURRENT, "done")


@pytest.mark.parametrize("scenario", ENDS)
def test_a_client_ends_in_the_right_error(scenario: str, tmp_path: Path) -> None:
    """Where a scenario wants an error, no check fails or warns, and the client ends in the right one."""
    went, status = run([scenario], tmp_path, "--scenario", scenario, "--spec-version", "2026-07-28", "--force")
    assert went == {scenario: ENDS[scenario]}
    assert 0 == status


def test_a_scenario_of_the_first_revision_is_passed(tmp_path: Path) -> None:
    """A client of the revision 2025-03-26 passes what that one has of its own."""
    went, _ = run(OLD, tmp_path, "--suite", "backcompat", "--spec-version", "2025-03-26")
    assert went == dict.fromkeys(OLD, "done")
