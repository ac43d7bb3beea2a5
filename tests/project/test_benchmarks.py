from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from benchmarks._page import write_part
from benchmarks._svg import for_both_themes
from benchmarks.peers._bound_server import BoundServers
from benchmarks.peers._comparison import read
from benchmarks.peers._report import part_of_page, pinned_versions, rewritten
from benchmarks.peers._scenario import Column
from oauth_auth import DPoPKey

ROOT = Path(__file__).parents[2]
WHERE = {"date": "1 May 2026", "python": "3.13.0", "cores": "2", "load": "0.1", "versions": "peer 1.0"}


def test_a_part_of_the_page_is_written_and_the_rest_kept(tmp_path: Path) -> None:
    """Each command replaces its own part of the page, in place, and nothing else."""
    page = tmp_path / "page.md"
    write_part(page, "figures", "first")
    write_part(page, "peers", "second")
    page.write_text(page.read_text() + "\nby hand\n")
    write_part(page, "figures", "third\n")
    expected = (
        "# Performance\n\n<!-- figures: begin -->\n\nthird\n\n<!-- figures: end -->\n\n"
        "<!-- peers: begin -->\n\nsecond\n\n<!-- peers: end -->\n\nby hand\n"
    )
    assert expected == page.read_text()


def test_a_part_without_an_end_is_left_alone(tmp_path: Path) -> None:
    """A page whose part has lost its end isn't overwritten up to its own end."""
    page = tmp_path / "page.md"
    page.write_text("<!-- peers: begin -->\n\nby hand\n")
    with pytest.raises(ValueError, match="without"):
        write_part(page, "peers", "new")
    assert page.read_text() == "<!-- peers: begin -->\n\nby hand\n"


def test_the_tables_hide_nothing() -> None:
    """Who measured better stands higher, whoever it is; who broke or can't is there and says why."""
    module = SimpleNamespace(
        TITLE="Load",
        TEXT="{count} at once.",
        COLUMNS=(Column("failures", "failed, of {count}"), Column("ms", "ms", digits=1)),
        HEADLINE=("failures", "failed"),
        PARAMETERS={"count": 9},
    )
    rows: list[dict[str, Any]] = [
        {"name": "can't", "cannot": "can't: no grant"},
        {"name": "broken", "broke": "ValueError: a|b"},
        {"name": "oauth_auth", "values": {"failures": [0, 2, 4], "ms": 3.14, "problems": "HTTP 401 6 times"}},
        {"name": "peer", "values": {"failures": [0, 0], "ms": 9.0}, "remark": "odd"},
    ]
    lines = part_of_page(WHERE, {"load": module}, {"load": rows}).splitlines()
    start = lines.index("| library | failed, of 9 | ms | notes |")
    expected = [
        "| peer | 0 | 9.0 | odd |",
        "| **oauth_auth** | 2 (0 to 4) | 3.1 | HTTP 401 6 times |",
        "| broken |  |  | broke: ValueError: a&#124;b |",
        "| can't |  |  | can't: no grant |",
    ]
    assert expected == lines[start + 2 :]
    assert "| **oauth_auth** | 2 |" in lines
    assert "| broken | broke |" in lines


def test_one_scenario_is_measured_anew() -> None:
    """The others keep their sections and their columns, and one that's new is added, with its date."""

    def module(title: str) -> SimpleNamespace:
        column = Column("failures", "failed")
        return SimpleNamespace(
            TITLE=title, TEXT="", COLUMNS=(column,), HEADLINE=("failures", f"{title}: failed"), PARAMETERS={}
        )

    def rows(**failures: int) -> list[dict[str, Any]]:
        return [{"name": name, "values": {"failures": count}} for name, count in failures.items()]

    modules = {name: module(name.title()) for name in ("load", "outage", "proofs")}
    before = part_of_page(WHERE, modules, {"load": rows(oauth_auth=1, peer=2), "outage": rows(oauth_auth=3, peer=4)})
    later = {**WHERE, "date": "2 May 2026"}
    after = rewritten(before, later, modules, {"load": rows(oauth_auth=5), "proofs": rows(oauth_auth=6, other=7)})

    glance, none = before.partition("| library |")[0], "\N{EN DASH}"
    assert after.startswith(glance)
    expected = [
        "| library | Load: failed | Outage: failed | Proofs: failed |",
        "| --- | --- | --- | --- |",
        "| **oauth_auth** | 5 | 3 | 6 |",
        f"| peer | {none} | 4 | {none} |",
        f"| other | {none} | {none} | 7 |",
        "",
    ]
    assert expected == after[len(glance) :].splitlines()[:6]
    sections = {text.partition("\n")[0]: text.strip() for text in after.split("\n### ")[2:]}
    assert ["Load", "Outage", "Proofs"] == list(sections)
    assert before.split("\n### ")[3].strip() == sections["Outage"]
    assert "| **oauth_auth** | 5 |  |" in sections["Load"]
    assert all("Measured on 2 May 2026" in sections[title] for title in ("Load", "Proofs"))


def test_the_versions_of_the_page_are_those_that_are_installed() -> None:
    """The page names the versions that the requirements file pins."""
    names = [version.rpartition(" ")[0] for version in pinned_versions()]
    assert {"Authlib", "google-auth", "httpx-auth", "mcp", "requests-auth", "requests-oauthlib"} < set(names)


@pytest.mark.parametrize(
    "contender", ["oauth_auth, requests", "oauth_auth, httpx (tasks)", "oauth_auth, aiohttp (tasks)"]
)
def test_a_stampede_makes_one_token_call(contender: str) -> None:
    """The benchmark itself runs: of 32 that ask at once, one calls the token endpoint."""
    command = [sys.executable, "-m", "benchmarks.peers._worker", "stampede", contender, "quick"]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=root)
    assert finished.returncode == 0, finished.stderr
    values = json.loads(finished.stdout)
    assert ([0], [1]) == (values["failures"], values["calls"])


@pytest.mark.parametrize("contender", ["oauth_auth, requests", "oauth_auth, httpx", "oauth_auth, aiohttp (tasks)"])
def test_each_nonce_costs_one_challenge(contender: str) -> None:
    """The scenario about proofs runs: nothing fails but what can't be sent again, and that isn't lost."""
    command = [sys.executable, "-m", "benchmarks.peers._worker", "proofs", contender, "quick"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    values = json.loads(finished.stdout)
    assert (102, 101) == (values["two"], values["one"])
    assert (0, 2, 0) == (values["file"], values["generator"], values["lost"])
    assert (0, [0]) == (values["revoked"], values["at_once"])


class Proved(NamedTuple):
    """A request of the servers of the scenario about proofs, and what's wrong with it."""

    method: str = "GET"
    path: str = "/things"
    token: str = "issued"
    key: str = "bound"
    nonce: str = "latest"


@pytest.mark.parametrize(
    ("proved", "error"),
    [
        (Proved(), None),
        (Proved(method="POST"), "invalid_dpop_proof"),
        (Proved(path="/others"), "invalid_dpop_proof"),
        (Proved(token="another"), "invalid_dpop_proof"),
        (Proved(key="another"), "invalid_token"),
        (Proved(nonce="old"), "use_dpop_nonce"),
    ],
)
def test_proofs_are_checked(proved: Proved, error: str | None) -> None:
    """The servers of the scenario about proofs take what's right, once, and refuse what's wrong."""
    with closing(BoundServers()) as servers:
        keys = {name: DPoPKey.generate() for name in ("bound", "another")}
        token = servers.issue(keys["bound"].thumbprint)["access_token"]
        url = servers.attributes["api_urls"][0]
        ask = urllib.request.Request(url, headers={"Authorization": f"DPoP {token}"})
        nonce = refusal_of(ask, keys["bound"].proof("GET", url, token=token))[1]
        assert nonce

        called = url.replace("/things", proved.path)
        proof = keys[proved.key].proof(
            proved.method,
            called,
            token=token if proved.token == "issued" else "another",
            nonce=nonce if proved.nonce == "latest" else "old",
        )
        assert error == refusal_of(ask, proof)[0]
        assert refusal_of(ask, proof)[0] == "invalid_dpop_proof", "it's taken twice"


def refusal_of(request: urllib.request.Request, proof: str) -> tuple[str | None, str | None]:
    """Return the error code and the nonce that a request with this proof is answered with, if it's refused."""
    request.add_header("DPoP", proof)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request).close()
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["error"], error.headers["DPoP-Nonce"]
    return None, None


def test_the_picture_shows_the_measured_table() -> None:
    """The comparison has each number of the page's table, in its order, so that none is from another run."""
    comparison = read((ROOT / "docs" / "performance.md").read_text())
    picture = (ROOT / "docs" / "_static" / "comparison.svg").read_text()
    texts = re.findall(r"<text [^>]*>([^<]+)</text>", picture)

    assert [cell for column in comparison.columns for cell in column] == [
        text for text in texts if text == "can't" or text.isdigit()
    ]
    assert set(comparison.libraries) <= set(texts)
    assert all("0" == column[row] for column in comparison.columns for row in (0, 1, 2))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_figures_are_measured_ones(page: str) -> None:
    """A number of requests that a first page boasts of was measured, or is one that was measured, rounded down."""
    measured = (ROOT / "docs" / "performance.md").read_text().replace(",", "")
    found = re.findall(r"\b(?:(\d+) (?:requests|tasks)|of (\d+) waited)", measured)
    figures = {int(digits) for pair in found for digits in pair if digits}
    boasts = re.findall(r"(over )?\b(\d,\d{3}|\d{3}) (?:requests|tasks)", (ROOT / page).read_text())

    assert 3 <= len(boasts)
    for rounded, digits in boasts:
        number = int(digits.replace(",", ""))
        assert number in figures or (rounded and any(number < figure < 1.1 * number for figure in figures)), digits


def test_a_picture_follows_the_theme() -> None:
    """No ink or paper is left that's the same on light and dark pages."""
    for file in [*(ROOT / "docs" / "performance").glob("*.svg"), ROOT / "docs" / "_static" / "comparison.svg"]:
        picture = file.read_text().partition("</style>")[2]
        assert "#000000" not in picture
        assert "#ffffff" not in picture
    with pytest.raises(ValueError, match="without a style sheet"):
        for_both_themes("<svg/>")
