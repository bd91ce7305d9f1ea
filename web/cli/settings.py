"""The settings of one command."""

from __future__ import annotations

import click

from web.app.settings import Settings, read_settings, warnings


def settings_of_command() -> Settings:
    """Return the settings, and warn of names that are none.

    Raises:
        SettingError: for the first one that is wrong.
    """
    for warning in warnings():
        click.echo(f"warning: {warning}", err=True)
    return read_settings()
