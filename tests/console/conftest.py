"""What the tests of the console stand on: the customer pages' browser and served program."""

from tests.portal.conftest import new_page, other_site, page, vendor
from tests.web.conftest import any_api

__all__ = ["any_api", "new_page", "other_site", "page", "vendor"]
