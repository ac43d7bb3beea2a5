"""What the command `oauth-auth` says when something is wrong, and how it exits."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from .errors import ConfigurationError, OAuthError, TokenStoreError

__all__ = ["OneLineGroup", "fail", "reporting", "say"]


class OneLineGroup(click.Group):
    """A group whose errors are one line, and repeat no value: one may be a secret that stands in the wrong place."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and exit as the command does."""
        try:
            sys.exit(super().main(*args, **{**options, "standalone_mode": False}))
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
        return f"{error.param.opts[0]} can't be read: see {command} --help"
    if isinstance(error, click.BadOptionUsage):
        return f"{error.format_message().rstrip('.')}; see {command} --help"
    if command == "oauth-auth":
        return f"there's no such subcommand: see {command} --help"
    return f"{command} takes options only: put a value with spaces in quotes, or see {command} --help"


class _Warnings(logging.Handler):
    """Says what the library warns of, but not a failure, which is said at the end by whoever it stopped.

    So may be trouble with the store: that's said late.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._late: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, now or later."""
        event, text = getattr(record, "oauth_event", ""), f"oauth-auth: {' '.join(record.getMessage().split())}"
        if event == "store_failed":
            self._late[text] = None
        elif event != "failed":
            say(text)

    def say_late(self) -> None:
        """Say once what was left for later."""
        for text in self._late:
            say(text)


@contextmanager
def reporting() -> Iterator[None]:
    """Have what goes wrong end in one line on stderr and an exit status."""
    warnings, logger = _Warnings(), logging.getLogger("oauth_auth")
    logger.addHandler(warnings)
    try:
        yield
        warnings.say_late()
    except (ConfigurationError, ImportError) as error:
        fail(str(error), status=2)
    except OAuthError as error:
        if isinstance(error, TokenStoreError):
            warnings.say_late()
        fail(str(error))
    except KeyboardInterrupt:
        # A token call under way is finished, so that its token is saved: that's no time for another Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        fail("interrupted")
    finally:
        logger.removeHandler(warnings)


def fail(text: str, *, status: int = 1) -> NoReturn:
    say(f"oauth-auth: {' '.join(text.split())}")
    sys.exit(status)


def say(*lines: str) -> None:
    click.echo("\n".join(lines), err=True)
