"""The official conformance tool of MCP finds nothing wrong with a client whose `auth` is a `ResourceAuth`."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
    "auth/client-credentials-basic",
    "auth/client-credentials-jwt",
    "auth/dpop",
    "auth/dpop-nonce",
]
"""The scenarios of the revision 2026-07-28, and of its extensions: services, and tokens that are bound to a key."""
REVISIONS = dict.fromkeys(CURRENT, "2026-07-28") | {"auth/2025-03-26-oauth-metadata-backcompat": "2025-03-26"}
"""By scenario, the revision of the protocol that the client is to speak."""
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
"""By scenario, the error in which the client is to end: the tool itself takes any there, and elsewhere none."""


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the conformance tool."""
    program = require_node(FOLDER, PACKAGE, (22, 0))
    script = FOLDER / "node_modules" / PACKAGE / "dist" / "index.js"
    return subprocess.run(
        [program, str(script), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )


def test_every_scenario_has_a_place() -> None:
    """The tool's scenarios of authorization are run, or left out for a reason that is told."""
    listed = re.findall(r"- (auth/\S+)", tool("list", "--client").stdout)
    assert sorted(listed) == sorted([*REVISIONS, *LEFT_OUT])


@pytest.mark.parametrize("scenario", REVISIONS)
def test_a_scenario_is_passed(scenario: str, tmp_path: Path) -> None:
    """No check fails or warns, and the client ends well, or in the right error where the scenario wants one."""
    command = f"{shlex.quote(sys.executable)} -m tests.conformance.client"
    run = tool(
        "client",
        *("--command", command),
        *("--scenario", scenario),
        *("--spec-version", REVISIONS[scenario], "--force"),
        *("--output-dir", str(tmp_path)),
    )
    (results,) = tmp_path.rglob("checks.json")
    checks = json.loads(results.read_text())
    wrong = [check for check in checks if check["status"] in {"FAILURE", "WARNING"}]
    assert [] == [f"{check['id']}: {check.get('errorMessage', check['description'])}" for check in wrong], run.stderr
    assert 0 == run.returncode, run.stderr
    (output,) = tmp_path.rglob("stdout.txt")
    assert ENDS.get(scenario, "done") == output.read_text().splitlines()[-1], run.stderr
