"""A login remembers its settings, so that the other commands need none, and several accounts go side by side."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

import oauth_auth.requests
from oauth_auth._command.remembered import Remembered, SettingsFile, choose, dump, parse
from oauth_auth._command.settings import OPTIONS, Settings, holds_password
from oauth_auth._plugins.environment import KEY_VARIABLES, variables_of
from oauth_auth.errors import ConfigurationError
from oauth_auth.stores import FileTokenStore
from oauth_auth.testing import LocalProvider
from tests.command.running import SECRET, Browser, Ended, grants, run
from tests.support.scripted import Answer, ScriptedServer

A = {"issuer": "https://a.example", "client_id": "c", "scope": "read", "grant": "device", "user": "alice"}
B = {"token_url": "https://b.example/t", "authorization_url": "https://b.example/a", "client_id": "d", "store": "s"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file in the user's folder for configuration."""
    return tmp_path / "oauth_auth" / "profiles.json"


@pytest.fixture
def bare(person: LocalProvider, environment: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a person, as options of a login; no longer set, but for the secret."""
    names = ("ISSUER", "CLIENT_ID", "STORE")
    options = {f"--{name.lower().replace('_', '-')}": os.environ[f"OAUTH_{name}"] for name in names}
    for name in names:
        environment.delenv(f"OAUTH_{name}")
    return options


def log_in(options: dict[str, str], *more: str) -> Ended:
    login = run("login", *(word for option in options.items() for word in option), *more)
    assert (0, "") == (login.status, login.stdout), login.stderr
    return login


# -- Choosing: pure ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "profile", "given", "chosen", "settings"),
    [
        # Nothing is given: the last login, or the one that's named.
        ("work", None, {}, "work", B),
        ("default", None, {}, "default", A),
        ("work", "default", {}, "default", A),
        ("work", "new", {}, "new", {}),
        (None, None, {}, "default", A),
        # A client is given: the rest is that of its login.
        ("work", None, {"client_id": "d"}, "work", B),
        ("work", None, {"client_id": "c"}, "default", A),
        ("default", None, {"client_id": "d"}, "work", B),
        ("work", "work", {"client_id": "e"}, "work", B),
        # One that nobody has logged in with: no other's server gets its secret.
        ("work", None, {"client_id": "e"}, "default", {}),
        # The server of the last login, or of the default profile, is given: as a whole.
        ("work", None, {"token_url": B["token_url"]}, "work", {"client_id": "d", "store": "s"}),
        ("work", None, {"issuer": A["issuer"]}, "default", {k: v for k, v in A.items() if k != "issuer"}),
        ("work", None, {"issuer": A["issuer"], "client_id": "c"}, "default", {**A, "issuer": None}),
        ("work", None, {"token_url": B["token_url"], "client_id": "d"}, "work", {"client_id": "d", "store": "s"}),
        # Another server: no login of that profile, and with another client nothing of it.
        ("work", None, {"issuer": "https://x.example"}, "default", {"client_id": "d", "store": "s"}),
        ("default", None, {"issuer": "https://x.example"}, "default", {"client_id": "c", "scope": "read"}),
        ("work", None, {"issuer": "https://x.example", "client_id": "d"}, "default", {}),
        ("work", None, {"revocation_url": "https://b.example/r"}, "default", {"client_id": "d", "store": "s"}),
        ("work", None, {"token_url": B["token_url"], "client_id": "e"}, "default", {}),
        ("default", "work", {"issuer": A["issuer"]}, "work", {"client_id": "d", "store": "s"}),
        ("default", "work", {"issuer": A["issuer"], "client_id": "c"}, "work", {}),
    ],
)
def test_which_settings_a_run_uses(
    last: str | None, profile: str | None, given: dict[str, str], chosen: str, settings: dict[str, str]
) -> None:
    """The last login's, unless another profile is named or another server given; a server is given as a whole."""
    remembered = Remembered({"default": A, "work": B}, last)
    found = choose(remembered, profile, given)
    assert (chosen, {name: value for name, value in settings.items() if value}) == found


def test_a_client_is_known_by_its_id_or_its_document() -> None:
    """One given in place of the other replaces it, and takes nothing of another client's login."""
    document = {"client_metadata_url": "https://c.example/client", "scope": "read"}
    remembered = Remembered({"default": document, "work": A}, "work")
    assert ("default", {"scope": "read"}) == choose(remembered, "default", {"client_id": "c"})
    assert ("default", {}) == choose(remembered, None, {"client_metadata_url": "https://c.example/other"})
    assert ("default", document) == choose(remembered, None, {"client_metadata_url": "https://c.example/client"})
    assert ("work", A) == choose(remembered, None, {"client_id": "c"})


def test_a_login_to_a_resource_is_remembered_apart() -> None:
    """It changes nothing of the others, nor they of it."""
    url = "https://api.example.com"
    remembered = Remembered({"work": B}, "work").after_login("home", A, url).after_login("default", B)
    assert Remembered({"work": B, "default": B}, "default") == remembered.of(None)
    assert Remembered({"home": A}, "home") == remembered.of(url)
    assert Remembered() == remembered.of(f"{url}/other")
    assert Remembered() == remembered.of(url).unnamed
    assert Remembered({"default": B}, "default") == remembered.unnamed


def test_nothing_is_chosen_where_nothing_is_remembered() -> None:
    """Before the first login."""
    assert ("default", {}) == choose(Remembered(), None, {})
    assert ("default", {}) == choose(Remembered(), None, {"issuer": "https://a.example"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "damaged"),
        (b"{}", "damaged"),
        (b'{"version": true, "profiles": {}}', "damaged"),
        (b'{"version": 0, "profiles": {}}', "damaged"),
        (b'{"version": 1}', "damaged"),
        (b'{"version": 1, "profiles": []}', "damaged"),
        (b'{"version": 1, "profiles": {"work": null}}', "damaged"),
        (b'{"version": 1, "profiles": {"work": {"issuer": 3}}}', "damaged"),
        (b'{"version": 1, "profiles": {"work": {"authorization_parameters": "prompt"}}}', "damaged"),
        (b'{"version": 1, "profiles": {"work": {"authorization_parameters": {"prompt": "x"}}}}', "damaged"),
        (b'{"version": 1, "profiles": {"work": {"authorization_parameters": {"prompt": [null]}}}}', "damaged"),
        (b'{"version": 1, "profiles": {}, "resources": []}', "damaged"),
        (b'{"version": 1, "profiles": {}, "resources": {"https://a.example": null}}', "damaged"),
        (b'{"version": 1, "profiles": {}, "resources": {"https://a.example": {}}}', "damaged"),
        (b'{"version": 1, "profiles": {}, "resources": {"https://a.example": {"profiles": {"x": 1}}}}', "damaged"),
        (b'{"version": 2, "accounts": []}', "newer version"),
    ],
)
def test_what_can_not_be_read(content: bytes, reason: str) -> None:
    """Whatever is in the file, it's read whole or refused with a reason."""
    with pytest.raises(ValueError, match=reason):
        parse(content)


@pytest.mark.parametrize(
    "remembered",
    [
        Remembered(),
        Remembered({"default": A}, "default"),
        Remembered({"default": A}, "default", {"https://a.example": Remembered({"work": B}, "work")}),
        Remembered({"a\N{SNOWMAN}": {**B, "authorization_parameters": {"prompt": ["consent"]}, "of_later": "x"}}, None),
    ],
)
def test_what_is_written_is_read(remembered: Remembered) -> None:
    """Settings come back as they were, those of later versions, too."""
    assert remembered == parse(dump(remembered))


def test_a_last_login_of_no_profile_is_none() -> None:
    """The file may have been edited by hand."""
    assert Remembered({"work": B}) == parse(json.dumps({"version": 1, "last": "x", "profiles": {"work": B}}).encode())


@pytest.mark.parametrize(
    ("store", "holds"),
    [
        ("redis://h/0", False),
        ("redis://me@h/0", False),
        ("redis://:pw@h/0", True),
        ("rediss://me:pw@h/0", True),
        ("unix:///s?db=1", False),
        ("unix:///s?password=pw", True),
        ("redis://[", True),
    ],
)
def test_which_stores_hold_a_password(store: str, holds: bool) -> None:
    """A URL with a password isn't remembered."""
    assert holds is holds_password(store)


# -- The file ---------------------------------------------------------------------------------------------------


def test_the_file_is_its_owners_alone(file: Path) -> None:
    """It's made with mode 0600, whatever the umask, and so is its folder with 0700."""
    before = os.umask(0)
    try:
        SettingsFile(file).remember("work", B)
    finally:
        os.umask(before)
    assert [0o600, 0o700] == [path.stat().st_mode & 0o777 for path in (file, file.parent)]
    assert Remembered({"work": B}, "work") == SettingsFile(file).read()


def test_a_link_to_the_file_stays_one(file: Path, tmp_path: Path) -> None:
    """The file that a link leads to is written, as for people who keep all of their settings in one place."""
    SettingsFile(file).remember("work", B)
    kept = tmp_path / "kept.json"
    file.rename(kept)
    file.symlink_to(kept)
    SettingsFile(file).remember("home", A)
    assert file.is_symlink()
    assert {"work", "home"} == SettingsFile(file).read().profiles.keys() == SettingsFile(kept).read().profiles.keys()


def test_others_may_no_longer_read_a_file(file: Path) -> None:
    """One that others may read is used, and closed to them."""
    SettingsFile(file).remember("work", B)
    file.chmod(0o644)
    assert Remembered({"work": B}, "work") == SettingsFile(file).read()
    assert 0o600 == file.stat().st_mode & 0o777


def test_the_file_of_another_user(file: Path, environment: pytest.MonkeyPatch) -> None:
    """Who owns it could name a server of theirs: it's neither used nor written over."""
    SettingsFile(file).remember("work", B)
    before = file.read_bytes()
    environment.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    for use in (SettingsFile(file).read, lambda: SettingsFile(file).remember("work", A)):
        with pytest.raises(ConfigurationError, match="other users may have changed"):
            use()
    assert before == file.read_bytes()


def test_profiles_are_added_one_by_one(file: Path) -> None:
    """A login leaves the other profiles as they are, and is the last."""
    for name, settings in (("work", B), ("home", A), ("work", A)):
        SettingsFile(file).remember(name, settings)
    assert Remembered({"work": A, "home": A}, "work") == SettingsFile(file).read()


def test_logins_at_the_same_time_are_all_remembered(file: Path, pool: ThreadPoolExecutor) -> None:
    """None of them writes over another's settings."""
    names = [f"profile-{number}" for number in range(8)]
    together = threading.Barrier(len(names))

    def remember(name: str) -> None:
        together.wait(10)
        SettingsFile(file).remember(name, B)

    list(pool.map(remember, names))
    assert set(names) == SettingsFile(file).read().profiles.keys()


def damage(file: Path) -> None:
    file.write_text("{")


def age_by_years(file: Path) -> None:
    file.write_text('{"version": 2}')


def open_to_others(file: Path) -> None:
    file.chmod(0o622)


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (damage, "since it's damaged: remove "),
        (age_by_years, "since a newer version of oauth_auth wrote it: remove "),
        (open_to_others, "other users may have changed the remembered settings"),
        (make_a_folder, "the remembered settings can't be read: Is a directory"),
        (make_a_pipe, "the remembered settings can't be read: it's no file"),
    ],
)
def test_a_file_that_can_not_be_used(bare: dict[str, str], browser: Browser, file: Path, spoil: Any, text: str) -> None:
    """It's an error that names the file, unless a run needs it not; it's never written over, and no login is lost."""
    log_in(bare)
    token = run("token")
    spoil(file)
    ended = run("token")
    assert (2, True, True) == (ended.status, text in ended.error, str(file) in ended.error)
    given = [word for option in bare.items() for word in option]
    assert token == run("token", *given)
    before = file.stat()
    login = run("login", *given)
    assert 0 == login.status
    assert "oauth-auth: the other commands need the same options, since they can't be remembered: " in login.stderr
    assert text in login.stderr
    assert (before.st_ino, before.st_mtime_ns) == (file.stat().st_ino, file.stat().st_mtime_ns)
    assert 0 == run("token", *given).status


def test_without_a_folder_for_configuration(
    bare: dict[str, str], browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where nothing can be remembered, a login says so, and the commands work with options as ever."""
    (tmp_path / "occupied").touch()
    environment.setenv("XDG_CONFIG_HOME", str(tmp_path / "occupied"))
    login = log_in(bare)
    assert "can't be remembered: " in login.stderr
    assert 0 == run("token", *(word for option in bare.items() for word in option)).status
    error = run("token").error
    assert error.startswith("--issuer (OAUTH_ISSUER) or --token-url (OAUTH_TOKEN_URL) must be set")
    assert error.endswith("; or log in first: oauth-auth login --issuer URL --client-id ID")


# -- Logins -----------------------------------------------------------------------------------------------------


def test_a_login_is_enough(
    bare: dict[str, str], person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, file: Path
) -> None:
    """After a login `token`, `status`, `logout` and another login need no option, and no secret was written down."""
    log_in(bare, "--scope", "read write")
    assert 0o600 == file.stat().st_mode & 0o777
    assert person.client_secret not in file.read_text()
    environment.delenv("OAUTH_CLIENT_SECRET")
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
    assert 200 == requests.get(person.api_url, headers=headers, timeout=10).status_code
    assert "Scope: read write\n" in run("status").stdout
    environment.setenv("OAUTH_CLIENT_SECRET", person.client_secret)
    assert Ended(0, "", "You are logged out.\n") == run("logout")
    assert 401 == requests.get(person.api_url, headers=headers, timeout=10).status_code
    assert 1 == run("token").status
    assert 0 == run("login").status
    assert 0 == run("token").status


def test_all_settings_are_remembered_but_secrets(environment: pytest.MonkeyPatch, file: Path) -> None:
    """Each variable that is no secret comes back, whether it was given by option or by variable."""
    values = {name: f"/{name}" if name.endswith("_FILE") else f"https://a.example/{name}" for name in OPTIONS}
    values |= {"USERNAME": "alice", "PASSWORD": "password-word", "REFRESH_TOKEN": "refresh-word"}
    for number, (name, value) in enumerate(values.items()):
        if number % 2:
            environment.setenv(f"OAUTH_{name}", value)
    options = {name.lower(): value for number, (name, value) in enumerate(values.items()) if not number % 2}
    Settings(options, is_login=True).remember(store="file:/tokens")
    for name in values:
        environment.delenv(f"OAUTH_{name}", raising=False)
    found = Settings({}, is_login=False)
    secrets = {"CLIENT_SECRET", "PASSWORD", "REFRESH_TOKEN"}
    expected = {name: None if name in secrets else value for name, value in values.items()} | {"STORE": "file:/tokens"}
    assert expected == {name: found.value(name) if name in KEY_VARIABLES else found.get(name) for name in values}
    assert [] == [name for name in secrets if values[name] in file.read_text()]


def test_what_programs_read_is_an_option() -> None:
    """Each variable that `from_env` reads is an option, too, but for a user's secrets."""
    classes = [getattr(oauth_auth.requests, name) for name in oauth_auth.requests.__all__]
    own = {name for kind in classes for name in getattr(kind, "_variables", {})}
    read = variables_of(dict.fromkeys(own, ""))
    read_as_files = {*KEY_VARIABLES} - {"PRIVATE_KEY"}
    assert set(OPTIONS) == (read.keys() | read_as_files) - {"USERNAME", "PASSWORD", "REFRESH_TOKEN"}


def test_files_of_keys_are_remembered_as_absolute_paths(
    environment: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    """The other commands may run in another folder; a relative path would name another file there."""
    environment.chdir(tmp_path)
    Settings({"private_key_file": "key.pem", "issuer": "https://a.example"}, is_login=True).remember()
    found = Settings({}, is_login=False)
    assert str(tmp_path / "key.pem") == found.value("PRIVATE_KEY_FILE")
    assert Settings({"private_key_file": ""}, is_login=False).value("PRIVATE_KEY_FILE") is None


def test_keys_of_a_login_are_not_used_for_another_server(file: Path) -> None:
    """Nor are assertions, which that server could use; nor is its token looked for among bound ones."""
    given = {name.lower(): f"/{name}" for name in KEY_VARIABLES if name != "PRIVATE_KEY"}
    Settings({**given, "issuer": "https://a.example", "client_id": "client"}, is_login=True).remember()
    found = Settings({"issuer": "https://b.example"}, is_login=False)
    assert {None} == {found.value(name) for name in KEY_VARIABLES}


@pytest.mark.parametrize("trouble", ["denied", "unsaved"])
def test_a_login_that_fails_changes_nothing(
    bare: dict[str, str], browser: Browser, environment: pytest.MonkeyPatch, file: Path, trouble: str
) -> None:
    """Neither the settings nor which login was the last."""
    log_in(bare)
    before = file.read_bytes()
    token = run("token")
    more = ["--scope", "other", "--profile", "work"]
    if trouble == "denied":
        browser.answer = {"error": "access_denied", "iss": bare["--issuer"]}
        assert 1 == run("login", *more, *(word for option in bare.items() for word in option)).status
    else:
        with environment.context() as patch:
            patch.setattr(FileTokenStore, "save", lambda *_: _raise(OSError("no")))
            assert 1 == run("login", *more, *(word for option in bare.items() for word in option)).status
    assert before == file.read_bytes()
    assert token == run("token")


def _raise(error: Exception) -> None:
    raise error


def test_profiles_keep_accounts_apart(bare: dict[str, str], person: LocalProvider, browser: Browser) -> None:
    """Each has its own token, though server, client and store are the same; the last login is the default."""
    for profile in ("home", "work"):
        log_in(bare, "--profile", profile)
    work, home = run("token"), run("token", "--profile", "home")
    assert (0, 0) == (work.status, home.status)
    assert work.stdout != home.stdout
    assert work == run("token", PROFILE="work") == run("token", "--profile", "work", PROFILE="home")
    assert "You are logged in.\nProfile: home\n" in run("status", "--profile", "home").stdout
    assert "You are logged in.\nProfile: work\n" in run("status").stdout
    assert 0 == run("logout", "--profile", "home").status
    assert work == run("token")
    ended = run("token", "--profile", "home")
    assert (1, True) == (ended.status, ended.error.endswith("run: oauth-auth login --profile home"))
    assert 3 * ["authorization_code"] == [*grants(person), *grants(person)[:1]]


def test_a_login_without_a_name_is_that_of_programs(
    bare: dict[str, str], person: LocalProvider, browser: Browser
) -> None:
    """A named login isn't found by programs, which know no profiles, and doesn't get in the way of one without name."""
    log_in(bare, "--profile", "work")
    work = run("token").stdout
    store = FileTokenStore(bare["--store"].removeprefix("file:"))
    auth = oauth_auth.requests.AuthorizationCodeAuth.from_issuer(
        person.issuer, person.client_id, person.client_secret, store=store
    )
    assert auth._stored_token() is None
    assert 1 == run("token", "--profile", "work", "--scope", "other").status
    other = [word for option in (bare | {"--scope": "read"}).items() for word in option]
    assert 0 == run("login", *other, "--profile", "default").status
    read = oauth_auth.requests.AuthorizationCodeAuth.from_issuer(
        person.issuer, person.client_id, person.client_secret, store=store, scope="read"
    )
    assert run("token").stdout == f"{read.get_token().access_token}\n"
    assert work == run("token", "--profile", "work").stdout


@pytest.mark.parametrize("args", [["token"], ["status"], ["logout"]])
@pytest.mark.parametrize("there_are", [True, False])
def test_an_unknown_profile_is_named(bare: dict[str, str], browser: Browser, args: list[str], there_are: bool) -> None:
    """Exit status 2, and a line that names it, and those that there are."""
    if there_are:
        log_in(bare, "--profile", "work")
    for ended in (run(*args, "--profile", "wrok"), run(*args, PROFILE="wrok")):
        assert 2 == ended.status
        known = "there are work" if there_are else "there are none yet"
        assert f"there is no profile 'wrok' ({known}); make it with: oauth-auth login --profile NAME" == ended.error


@pytest.mark.parametrize("name", ["a\nb", " a", "a" * 101, "\x1b[31m"])
def test_a_profile_must_have_a_name_to_show(bare: dict[str, str], browser: Browser, name: str) -> None:
    """A name with control characters is refused, and not shown."""
    ended = run("login", "--profile", name)
    assert (2, True) == (ended.status, ended.error.startswith("--profile (OAUTH_PROFILE) must be a name"))
    assert [] == browser.opened


def test_no_secret_goes_to_the_server_of_another_profile(bare: dict[str, str], browser: Browser) -> None:
    """Who gives one URL of a server gives all: none of another's is used with them."""
    log_in(bare, "--profile", "work")
    with LocalProvider() as other:
        given = {"TOKEN_URL": other.token_url, "CLIENT_ID": other.client_id, "CLIENT_SECRET": other.client_secret}
        calls = len(browser.opened)
        assert 0 == run("token", **given).status
        assert ["client_credentials"] == grants(other)
        logout = run("logout", **given)
        assert "No revocation endpoint is known" in logout.stderr
        refused = run("token", "--profile", "work", **given)
        assert (0, calls) == (refused.status, len(browser.opened))
    assert "--token-url (OAUTH_TOKEN_URL) must be set" in run("token", "--revocation-url", "https://x.example").error


def test_what_is_given_wins(bare: dict[str, str], person: LocalProvider, browser: Browser) -> None:
    """An option or a variable is used in place of what's remembered, and completed by that."""
    log_in(bare, "--scope", "read")
    assert 1 == run("token", "--scope", "write").status
    assert 1 == run("token", SCOPE="write").status
    assert 1 == run("token", "--scope", "").status
    assert 0 == run("token", SCOPE="").status
    assert 0 == run("token", "--issuer", bare["--issuer"]).status
    ended = run("token", "--issuer", f"{person.issuer}/other")
    assert (1, True) == (ended.status, "can't be the issuer" in ended.error)


def test_paths_are_remembered_from_the_root(
    bare: dict[str, str], browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store that's named from the current folder is found from any other."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    environment.chdir(tmp_path / "here")
    log_in(bare | {"--store": "file:tokens"})
    environment.chdir(tmp_path / "there")
    assert 0 == run("token").status


def test_the_password_of_a_store_is_not_remembered(
    environment: pytest.MonkeyPatch, browser: Browser, file: Path, bare: dict[str, str]
) -> None:
    """The login says so, and the other commands ask for the store, since that's where the token is."""
    place = f"redis://:{SECRET}@127.0.0.1:1/0"
    store = FileTokenStore(file.parent / "tokens")
    opened: list[str] = []

    def open_redis(url: str) -> FileTokenStore:
        opened.append(url)
        return store

    environment.setattr("oauth_auth._plugins.environment.RedisTokenStore", open_redis)
    login = log_in(bare | {"--store": place})
    assert "The store's password isn't remembered: set OAUTH_STORE for the other commands.\n" in login.stderr
    assert SECRET not in file.read_text() + login.stderr
    ended = run("token")
    assert (2, True) == (ended.status, ended.error.startswith("--store (OAUTH_STORE) must be set again"))
    assert 0 == run("token", STORE=place).status
    assert "redis://127.0.0.1:1/0" == json.loads(run("status", "--format", "json", STORE=place).stdout)["store"]
    assert {place} == set(opened)


def test_authorization_parameters(bare: dict[str, str], browser: Browser, file: Path) -> None:
    """They're in the authorization request, those that are repeated as often, and at the next login, too."""
    log_in(bare, "--authorization-parameter", "prompt=consent", "--authorization-parameter", 'claims={"a": "="}')
    assert 0 == run("login").status
    for url in browser.opened:
        assert re.search(r"[?&]prompt=consent(&|$)", url)
        assert "claims=%7B%22a%22%3A+%22%3D%22%7D" in url
    assert 0 == run("login", "--authorization-parameter", "x=1", "--authorization-parameter", "x=2").status
    assert "x=1&x=2" in browser.opened[-1]
    assert "prompt" not in browser.opened[-1]


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (SECRET, "--authorization-parameter must be NAME=VALUE"),
        (f"={SECRET}", "--authorization-parameter must be NAME=VALUE"),
        (f"state={SECRET}", "--authorization-parameter: parameters can't have 'state'"),
    ],
)
def test_a_parameter_that_can_not_be(bare: dict[str, str], browser: Browser, parameter: str, text: str) -> None:
    """Exit status 2, before anything is opened; the value isn't shown."""
    ended = run("login", "--authorization-parameter", parameter)
    assert (2, True, False) == (ended.status, ended.error.startswith(text), SECRET in ended.error)
    ended = run("login", "--device", "--authorization-parameter", "prompt=consent")
    assert (2, "--authorization-parameter is for logins with a browser") == (ended.status, ended.error)
    assert [] == browser.opened


def test_a_named_profile_that_is_unknown_to_a_damaged_file(file: Path) -> None:
    """Settings that a run needs are an error, whoever else might have had them."""
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        Settings({"profile": "work", "issuer": "https://a.example"}, is_login=False)


def test_a_secret_goes_to_no_login_that_had_none(
    person: LocalProvider, serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch
) -> None:
    """A job with a secret of its own doesn't send it where somebody has logged in since, without a secret."""
    secret = person.client_secret
    assert 0 == run("login", "--grant", "client_credentials", "--profile", "service").status
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
        environment.delenv(f"OAUTH_{name}")
    other = serve(lambda _: Answer(200, {"access_token": "t", "expires_in": 1}))
    user = {"USERNAME": "alice", "PASSWORD": "wonderland"}
    where = ("--token-url", f"{other.url}/token", "--client-id", "public")
    assert 0 == run("login", *where, "--grant", "password", "--profile", "mine", **user).status
    calls = len(other.requests)
    ended = run("token", **user, CLIENT_SECRET=secret)
    assert 2 == ended.status
    assert "(OAUTH_CLIENT_SECRET) is set, but the last login (mine) was without a secret" in ended.error
    assert 0 == run("token", "--profile", "service", CLIENT_SECRET=secret).status
    assert calls == len(other.requests)
