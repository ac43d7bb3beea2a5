"""The pytest plug-in, as users have it: installed, and loaded by pytest itself in a process of its own."""

from __future__ import annotations

import importlib.metadata

import pytest

pytest_plugins = ["pytester"]

ALONE = ("-p", "oauth_auth", "-p", "no:cacheprovider")
"""With `PYTEST_DISABLE_PLUGIN_AUTOLOAD`, these load the plug-in by its entry point, and no other one's."""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the other plug-ins that happen to be installed from loading what the test looks for."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_it_is_an_entry_point() -> None:
    """Installing the package installs the plug-in: nobody has to write it into a conftest."""
    [entry] = importlib.metadata.entry_points(group="pytest11", name="oauth_auth")
    assert "oauth_auth.testing._pytest" == entry.value


def test_the_fixture_is_there(pytester: pytest.Pytester) -> None:
    """A test that names `oauth_provider`, with nothing imported or configured, gets a running provider."""
    pytester.makepyfile(
        """
        import requests
        from oauth_auth.requests import ClientCredentialsAuth

        def test_it(oauth_provider):
            with requests.Session() as session:
                session.auth = ClientCredentialsAuth(
                    oauth_provider.token_url, oauth_provider.client_id, oauth_provider.client_secret
                )
                assert session.get(oauth_provider.api_url).ok
                oauth_provider.revoke_access_tokens()
                assert session.get(oauth_provider.api_url).ok
            assert len(oauth_provider.token_requests) == 2
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_each_test_has_a_provider_of_its_own(pytester: pytest.Pytester) -> None:
    """What one test did to its provider, no other test sees; and it ends with its test, whether that passes or not."""
    pytester.makepyfile(
        """
        import pytest, socket
        from urllib.parse import urlsplit

        seen = []

        @pytest.mark.parametrize("number", range(3))
        def test_it(oauth_provider, number):
            assert (oauth_provider.token_lifetime, oauth_provider.token_requests) == (3600, [])
            for ended in seen:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", urlsplit(ended).port), timeout=5)
            seen.append(oauth_provider.token_url)
            oauth_provider.token_lifetime = 1
            oauth_provider.token_requests.append("something")
            assert number != 1
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=2, failed=1)


@pytest.mark.usefixtures("alone")
def test_it_can_be_shared_and_changed(pytester: pytest.Pytester) -> None:
    """Users build fixtures of their own on it, and may have one of the same name instead."""
    pytester.makeconftest(
        """
        import pytest
        from oauth_auth.testing import LocalProvider

        @pytest.fixture
        def short_lived(oauth_provider):
            oauth_provider.token_lifetime = 5
            return oauth_provider

        @pytest.fixture(scope="session")
        def shared():
            with LocalProvider(username="bob") as provider:
                yield provider
        """
    )
    pytester.makepyfile(
        test_one="""
        def test_it(short_lived, oauth_provider, shared):
            assert short_lived is oauth_provider is not shared
            assert shared.username == "bob"
        """,
        test_other="""
        import pytest

        @pytest.fixture
        def oauth_provider():
            return "mine"

        def test_it(oauth_provider):
            assert oauth_provider == "mine"
        """,
    )
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=2)


@pytest.mark.usefixtures("alone")
def test_loading_it_costs_nothing(pytester: pytest.Pytester) -> None:
    """A test run that has the plug-in installed and doesn't use it loads no server and no HTTP library."""
    pytester.makepyfile(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("oauth_auth")
            assert "oauth_auth.testing._pytest" in sys.modules
            unwanted = {"flask", "authlib", "werkzeug", "requests", "httpx", "httpx2", "niquests", "urllib3", "trio"}
            assert unwanted & sys.modules.keys() == set()
        """
    )
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("missing", ["flask", "authlib"])
def test_without_the_extra_only_who_asks_is_told(pytester: pytest.Pytester, missing: str) -> None:
    """Without Flask or Authlib other tests run, and a test that wants the provider says what to install."""
    pytester.makeconftest(f"import sys; sys.modules[{missing!r}] = None")
    pytester.makepyfile(
        """
        def test_it(oauth_provider):
            pass

        def test_other():
            pass
        """
    )
    result = pytester.runpytest_subprocess(*ALONE)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(['*ImportError*pip install "oauth_auth?testing?"*'])


@pytest.mark.usefixtures("alone")
def test_pytest_describes_the_fixture(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` says what `oauth_provider` is."""
    result = pytester.runpytest_subprocess(*ALONE, "--fixtures")
    result.stdout.fnmatch_lines(["oauth_provider*", "*Run a `LocalProvider` for this test.*"])
