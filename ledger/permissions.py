"""What a customer's session on the hosted pages may do.

buy             buy seats, and raise a subscription
manage_billing  open Stripe's Customer Portal
manage_users    both, the Billing page, and everything of a product that is billed by its users
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Permission = Literal["buy", "manage_billing", "manage_users"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)
DEFAULT: Final[tuple[Permission, ...]] = ("buy", "manage_billing")


class NotPermitted(Exception):
    """The session's permissions do not include this.

    Attributes:
        permission: the one that is missing.
    """

    def __init__(self, permission: Permission) -> None:
        super().__init__(permission)
        self.permission = permission


def permits(permissions: Iterable[str], permission: Permission) -> bool:
    """Return whether permissions include one; `manage_users` includes all."""
    return not {permission, "manage_users"}.isdisjoint(permissions)
