"""What `oauth-auth login` remembers, so that the other commands need no options: one file of the user's.

    {"version": 1, "last": "work", "profiles": {"work": {"issuer": "https://…", "client_id": "…", …}, …},
     "resources": {"https://api.example.com/mcp": {"last": "default", "profiles": {"default": {…}}}, …}}

Logins to a resource are kept by its URL, apart from those that name a server. No secret is in it. Reading and choosing
are pure; a file that can't be trusted or understood is an error, and is never written over.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._record import Record, replace
from ..errors import ConfigurationError
from ..stores._file import file_lock, make_folder, replace_file

__all__ = [
    "CLIENT",
    "DEFAULT_PROFILE",
    "SERVER",
    "Remembered",
    "SettingsFile",
    "choose",
    "dump",
    "parse",
    "user_folder",
]

DEFAULT_PROFILE = "default"
"""The profile of logins without a name. Its tokens are those that programs find, which know of no profiles."""
SERVER = ("issuer", "token_url", "authorization_url", "device_authorization_url", "revocation_url")
"""The settings that say which server it is. They count as a whole, so that no secret goes to two servers."""

_OF_THE_LOGIN = (
    *("grant", "user", "default_store", "private_key_file", "private_key_id", "client_assertion_file"),
    *("client_certificate_file", "client_certificate_key_file", "dpop", "par"),
)

CLIENT = ("client_id", "client_metadata_url")
"""The settings that say which client it is: one of them at most."""

_VERSION = 1
_MAX_BYTES = 1024 * 1024
_LOCK_SECONDS = 5.0
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_Settings = Mapping[str, Any]


class Remembered(Record):
    """The settings of each profile's last login, and which profile was logged in last."""

    profiles: Mapping[str, _Settings] = {}
    last: str | None = None
    resources: Mapping[str, Remembered] = {}
    """The same of the logins to each resource."""

    def after_login(self, profile: str, settings: _Settings, resource: str | None = None) -> Remembered:
        """Return what is remembered once a login with these settings has succeeded, to a resource if that's given."""
        if resource is None:
            return replace(self, profiles={**self.profiles, profile: settings}, last=profile)
        logins = self.of(resource).after_login(profile, settings)
        return replace(self, resources={**self.resources, resource: logins})

    def of(self, resource: str | None) -> Remembered:
        """Return what is remembered of the logins to a resource; with None, of those that name a server."""
        return replace(self, resources={}) if resource is None else self.resources.get(resource, Remembered())

    @property
    def unnamed(self) -> Remembered:
        """What is remembered of logins without a name."""
        profiles = {name: settings for name, settings in self.profiles.items() if name == DEFAULT_PROFILE}
        return Remembered(profiles, next(iter(profiles), None))


def parse(content: bytes) -> Remembered:
    """Return what a file holds. Raises `ValueError`, which says what's wrong with it."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        fields = None
    version = fields.get("version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError("it's damaged")
    if version > _VERSION:
        raise ValueError("a newer version of oauth_auth wrote it")
    remembered, resources = _read(fields), fields.get("resources", {})
    if not isinstance(resources, dict):
        raise ValueError("it's damaged")  # noqa: TRY004 - as for all that the file may hold
    return replace(remembered, resources={name: _read(logins) for name, logins in resources.items()})


def _read(fields: object) -> Remembered:
    """Return the profiles, and which of them is the last. Raises `ValueError`."""
    profiles = fields.get("profiles") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(profiles, dict) or not all(map(_is_settings, profiles.values())):
        raise ValueError("it's damaged")
    last = fields.get("last")
    return Remembered(profiles, last if isinstance(last, str) and last in profiles else None)


def dump(remembered: Remembered) -> bytes:
    """Return a file's content."""
    resources = {name: _fields(logins) for name, logins in remembered.resources.items()}
    fields = {"version": _VERSION, **_fields(remembered), **({"resources": resources} if resources else {})}
    return json.dumps(fields, indent=1, default=dict).encode("ascii")


def _fields(remembered: Remembered) -> dict[str, Any]:
    return {"last": remembered.last, "profiles": remembered.profiles}


def _is_settings(value: object) -> bool:
    """Return whether these are a profile's: texts, and the authorization parameters with their values."""
    if not isinstance(value, dict):
        return False
    parameters = value.get("authorization_parameters", {})
    texts = [text for name, text in value.items() if name != "authorization_parameters"]
    if not isinstance(parameters, dict) or not all(isinstance(values, list) for values in parameters.values()):
        return False
    texts += [text for values in parameters.values() for text in values]
    return all(isinstance(text, str) for text in texts)


def choose(remembered: Remembered, profile: str | None, given: _Settings) -> tuple[str, _Settings]:
    """Return the profile that a run uses, and those of its settings that complete what is `given`.

    Without a name it's the profile that was logged in last; where a server is given, only if it's that profile's, or
    the default profile's, else it's the default profile. A server that's given is given as a whole. If it's another
    one than the profile's, what belongs to that login isn't used, and nothing is if a client is given, too. A client
    without a server is looked for among all profiles: no other client's server gets its secret.
    """
    profiles, has_client = remembered.profiles, any(name in given for name in CLIENT)
    if profile is None:
        names = [remembered.last, DEFAULT_PROFILE, *(profiles if has_client else ())]
        fitting = [name for name in names if name and _fits(profiles.get(name), given)]
        if not fitting and has_client:
            return DEFAULT_PROFILE, {}
        profile = fitting[0] if fitting else DEFAULT_PROFILE
        settings = profiles.get(fitting[0] if fitting else remembered.last or DEFAULT_PROFILE, {})
    else:
        settings = profiles.get(profile, {})
    others = {name for name in CLIENT if has_client and name not in given}
    if any(name in given for name in SERVER):
        fits = _fits(settings, given)
        if has_client and not fits:
            return profile, {}
        others |= set(SERVER) if fits else {*SERVER, *_OF_THE_LOGIN}
    return profile, {name: value for name, value in settings.items() if name not in others}


def _fits(settings: _Settings | None, given: _Settings) -> bool:
    """Return whether the server that's given, if any, is that of these settings, and the client, too."""
    if settings is None:
        return False
    return all(settings.get(name) == given[name] for name in (*SERVER, *CLIENT) if name in given)


class SettingsFile:
    """The file in the user's folder for configuration."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_folder("config") / "profiles.json"

    def read(self) -> Remembered:
        """Return what is remembered; nothing if there's no file. Raises `ConfigurationError`."""
        try:
            with open(self._path, "rb", opener=_open_at_once) as file:
                self._check(file.fileno())
                content = file.read(_MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return Remembered()
        except OSError as error:
            raise ConfigurationError(
                f"the remembered settings can't be read: {error.strerror or error}: {self._path}"
            ) from None
        try:
            return parse(content)
        except ValueError as error:
            raise ConfigurationError(
                f"the remembered settings can't be used, since {error}: remove {self._path}, and log in again"
            ) from None

    def remember(self, profile: str, settings: _Settings, resource: str | None = None) -> None:
        """Write down the settings of a login that has succeeded. Raises `ConfigurationError`, `TokenStoreError`."""
        if not self._path.is_absolute():
            raise ConfigurationError("this user has no home folder")
        try:
            make_folder(self._path.parent)
            with file_lock(self._path.with_suffix(".lock"), _LOCK_SECONDS):
                # Where it's a link, as of people who keep all such files in one place, it stays one.
                replace_file(self._path.resolve(), dump(self.read().after_login(profile, settings, resource)))
        except OSError as error:
            raise ConfigurationError(f"{error.strerror or error}: {self._path}") from None

    def _check(self, descriptor: int) -> None:
        """Raise `ConfigurationError` if another user could have named a server of theirs; hide it from others' eyes."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"the remembered settings can't be read: it's no file: {self._path}")
        if not hasattr(os, "geteuid"):
            return
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
            raise ConfigurationError(
                f"other users may have changed the remembered settings: look into {self._path}, then run chmod 600 "
                "on it, or remove it and log in again"
            )
        if status.st_mode & _OTHERS_READ:
            with suppress(OSError):
                os.fchmod(descriptor, 0o600)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe in its place without waiting for somebody who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def user_folder(kind: str) -> Path:
    """Return the user's folder for this package's files of a kind: "config" or "data"."""
    try:
        import platformdirs
    except ImportError as error:
        raise ImportError('the command oauth-auth needs platformdirs: pip install "oauth_auth[cli]"') from error
    folders = {"config": platformdirs.user_config_path, "data": platformdirs.user_data_path}
    return folders[kind]("oauth_auth")
