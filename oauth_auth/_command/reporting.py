"""What the command `oauth-auth` prints where, how it reports errors and warnings, and with which status it exits."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

import click

from ..errors import ConfigurationError, OAuthError, TokenStoreError

__all__ = ["OneLineGroup", "echo", "fail", "output", "reporting"]


class OneLineGroup(click.Group):
    """A group whose errors are one line each and repeat no value, which may be a secret in the wrong place."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command and exit with its status; a usage error is 2."""
        stdout = sys.stdout
        try:
            sys.exit(super().main(*args, **{**options, "standalone_mode": False}))
        except OSError as error:
            _fail_to_print(error)
        except SystemExit as end:
            if end.code and sys.stdout is not stdout:  # click's way with a reader that has gone
                sys.stdout = stdout
                _fail_to_print(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
            raise
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            fail(_usage(error), status=2)
        except click.ClickException as error:
            fail(error.format_message())
        except click.Abort:
            fail("interrupted")


def _usage(error: click.UsageError) -> str:
    command = "oauth-auth" if error.ctx is None or error.ctx.parent is None else f"oauth-auth {error.ctx.info_name}"
    if isinstance(error, click.NoSuchOption):
        name, group = error.option_name.partition("=")[0], error.ctx and error.ctx.command
        subcommands = group.commands.values() if isinstance(group, click.Group) else ()
        if any(name in parameter.opts for subcommand in subcommands for parameter in subcommand.params):
            return f"{name} goes after the subcommand, as in: oauth-auth login {name} …"
        near = f" (did you mean {' or '.join(sorted(error.possibilities))}?)" if error.possibilities else ""
        return f"{command} has no option {name}{near}; see {command} --help"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_wrong(error.param, command)}: see {command} --help"
    if isinstance(error, click.BadOptionUsage):
        return f"{error.format_message().rstrip('.')}; see {command} --help"
    if command == "oauth-auth":
        return f"there's no such subcommand: see {command} --help"
    return f"{command} takes one URL, and options: put a value with spaces in quotes, or see {command} --help"


def _wrong(parameter: click.Parameter, command: str) -> str:
    """Return what's wrong with a parameter."""
    if isinstance(parameter, click.Argument):
        return f"{command} needs the URL of an API, such as https://api.example.com/mcp"
    kind = parameter.type
    wanted = f"must be one of {', '.join(kind.choices)}" if isinstance(kind, click.Choice) else "can't be read"
    return f"{parameter.opts[0]} {wanted}"


class _Warnings(logging.Handler):
    """Prints the library's warnings, but no failed renewal: the error of the command itself says that.

    A store's failure may be the command's error, too, so it's printed at the end, if it isn't.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._store_failures: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's text, or keep it for `echo_store_failures`."""
        event, text = getattr(record, "oauth_event", ""), f"oauth-auth: {' '.join(record.getMessage().split())}"
        if event == "store_failed":
            self._store_failures[text] = None
        elif event != "failed":
            echo(text)

    def echo_store_failures(self) -> None:
        """Print each text that was kept, once."""
        for text in self._store_failures:
            echo(text)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn an error into one line on stderr and an exit status, and print the library's warnings."""
    warnings, logger = _Warnings(), logging.getLogger("oauth_auth")
    logger.addHandler(warnings)
    try:
        yield
        warnings.echo_store_failures()
    except (ConfigurationError, ImportError) as error:
        fail(str(error), status=2)
    except OAuthError as error:
        if isinstance(error, TokenStoreError):
            warnings.echo_store_failures()
        fail(str(error))
    except KeyboardInterrupt:
        # At exit a token call under way ends and its token is saved: another Ctrl-C must not end that.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        fail("interrupted")
    finally:
        logger.removeHandler(warnings)


def fail(text: str, *, status: int = 1) -> NoReturn:
    """Print an error as one line to stderr and exit."""
    echo(f"oauth-auth: {' '.join(text.split())}")
    sys.exit(status)


def echo(*lines: str) -> None:
    """Print lines to stderr, if it can be written."""
    try:
        click.echo("\n".join(lines), err=True)
    except OSError:
        _discard(sys.stderr)


def output(text: str) -> None:
    """Print to stdout; if that can't be written, exit with an error."""
    if sys.stdout is None:
        fail("stdout can't be written: it's closed")
    try:
        click.echo(text)
    except OSError as error:
        _fail_to_print(error)


def _fail_to_print(error: OSError) -> NoReturn:
    _discard(sys.stdout)
    fail(f"stdout can't be written: {error.strerror or error}")


def _discard(stream: TextIO) -> None:
    """Have what waits in a stream's buffer go nowhere: at exit it would be written, and fail with a status of that."""
    with suppress(OSError, ValueError):  # it may be closed, or no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
