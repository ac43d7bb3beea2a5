"""What people need to join and install the project is there, true, and fits together."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from hatch_build import project_urls, with_absolute_links
from tests.project.release import reasons_to_wait
from tests.project.wheel import NEWER, VERSIONS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOR_PEOPLE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
REPOSITORY = "https://code.example/oauth_auth"
YAML = [
    ".readthedocs.yaml",
    ".pre-commit-config.yaml",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob(".github/**/*.yml")),
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def links_in(markdown: str) -> set[str]:
    """Return where the links and images of a page lead, as Markdown's rules have it, and those that are HTML."""
    found = set(re.findall(r'<[^>]*\b(?:src|srcset|href)="([^"]*)"', markdown))
    for block in MarkdownIt().parse(markdown):
        for token in block.children or ():
            found |= {str(token.attrs[name]) for name in ("href", "src") if name in token.attrs}
    return found


def relative(links: set[str]) -> set[str]:
    return {link for link in links if not re.match(r"https?://|#", link)}


# -- Files for people -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOR_PEOPLE)
def test_links_lead_to_files(name: str) -> None:
    """Each file that a page at the root links to is there."""
    links = relative(links_in(text_of(name)))

    assert [] == [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_the_tour_is_of_this_house() -> None:
    """Each file and folder that CONTRIBUTING.md names exists; what is yet to be written has a NAME in capitals."""
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+(?:\.py|/))`", text_of("CONTRIBUTING.md")))
    places = (ROOT, ROOT / "tests", ROOT / "oauth_auth", *(ROOT / "oauth_auth").iterdir())
    missing = {path for path in named if not any((place / path).exists() for place in places)}

    assert len(named) > 30
    assert {path for path in missing if "NAME" not in path} <= {"dist/"}


@pytest.mark.parametrize("name", [*FOR_PEOPLE[1:], *YAML, ".github/pull_request_template.md"])
def test_no_address_is_invented(name: str) -> None:
    """No page names a mail address, or a URL: the project has none yet, and who copies the page has others."""
    assert [] == re.findall(r"https?://\S+|\b[\w.+-]+@[\w-]+\.[a-z]+\b", text_of(name))


# -- What machines read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", YAML)
def test_yaml_can_be_read(name: str) -> None:
    """Each file of settings is a mapping; `make lint` has their schemas."""
    assert isinstance(yaml.safe_load(text_of(name)), dict)


def test_ci_has_each_python_and_system() -> None:
    """The workflow runs `.ci/run` on each Python that the package says it works on, and on those that are newer."""
    (job,) = yaml.safe_load(text_of(".github/workflows/ci.yml"))["jobs"].values()
    prefix = "Programming Language :: Python :: "
    declared = [name.removeprefix(prefix) for name in PROJECT["project"]["classifiers"] if name.startswith(prefix)]
    (setup,) = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]

    assert list(VERSIONS) == declared
    assert [*VERSIONS, *NEWER] == job["strategy"]["matrix"]["python"] == setup.split("\n")[:-2]
    assert f">={VERSIONS[0]}" == PROJECT["project"]["requires-python"]
    assert {"ubuntu-latest", "macos-latest", "windows-latest"} == set(job["strategy"]["matrix"]["system"])
    assert any("bash .ci/run" in step.get("run", "") for step in job["steps"])


def test_make_has_what_people_type() -> None:
    """Each of make's commands that a page names is one, and says in `make help` what it does."""
    makefile = text_of("Makefile")
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    pages = [*FOR_PEOPLE, ".ci/run", ".pre-commit-config.yaml", ".github/workflows/release.yml"]
    typed = {name for page in pages for name in re.findall(r"(?:`|^|: )make ([a-z-]+)", text_of(page), re.MULTILINE)}

    assert documented == set(phony.split())
    assert {"help", "lint", "types", "unit", "units", "test", "test-all", "docs", "release"} <= documented
    assert set() == typed - documented


def test_folders_and_extras_that_settings_name_exist() -> None:
    """What dependency updates look at is there, and so is what the documentation's host installs."""
    updates = yaml.safe_load(text_of(".github/dependabot.yml"))["updates"]
    folders = [folder for update in updates for folder in update.get("directories", [update.get("directory")])]
    (extras,) = re.findall(r"\.\[([\w,]+)\]", text_of(".readthedocs.yaml"))

    assert all((ROOT / folder.lstrip("/")).is_dir() for folder in folders)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


# -- Distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repository", ["", REPOSITORY])
def test_the_readme_works_on_a_package_index(repository: str) -> None:
    """All of its links are absolute there; as long as the project has no address, they are plain text."""
    before = links_in(text_of("README.md"))
    after = links_in(with_absolute_links(text_of("README.md"), ROOT, repository, "1.2.3"))

    assert set() == relative(after)
    assert len(before if repository else before - relative(before)) == len(after)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/index.md)", "[a](R/blob/v1/docs/index.md)"),
        ("[a `b[c]`](docs/index.md#part)", "[a `b[c]`](R/blob/v1/docs/index.md#part)"),
        ("![a](docs/_static/request.svg)", "![a](R/raw/v1/docs/_static/request.svg)"),
        ("[a](https://example.com)", "[a](https://example.com)"),
        ("[a](#part)", "[a](#part)"),
        ('handlers["a"](event)', 'handlers["a"](event)'),
    ],
)
def test_links_are_made_absolute(text: str, expected: str) -> None:
    """Links to files of the repository lead to the version's tag, images to the files; nothing else changes."""
    assert expected == with_absolute_links(text, ROOT, "R", "1")


def test_urls_are_made_of_one_setting() -> None:
    """The index shows where the source, the changes and the issues are, or nothing."""
    setting: dict[str, Any] = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]

    assert {"repository"} == set(setting)
    assert {} == project_urls("", "1")
    assert all(url.startswith(REPOSITORY) for url in project_urls(REPOSITORY, "1").values())


@pytest.mark.parametrize(
    ("changelog", "uncommitted", "reasons"),
    [
        ("## [Unreleased]\n\n## [1.2.3] - 2030-01-31\n", "", 0),
        ("## [1.2.3] - 2030-01-31\n", " M README.md\n", 1),
        ("## [Unreleased]\n", "", 1),
        ("## [1.2.3]\n", "", 1),
        ("## [1.2.30] - 2030-01-31\n", "?? new\n", 2),
    ],
)
def test_a_release_is_of_what_is_committed_and_told(changelog: str, uncommitted: str, reasons: int) -> None:
    """`make release` refuses changes that aren't committed, and a version without its section in the changelog."""
    assert reasons == len(reasons_to_wait("1.2.3", changelog, uncommitted))
