"""What the tests of the console stand on: the customer pages' browser and served program."""

from tests.pages.conftest import browser, new_page, other_site, page, vendor

__all__ = ["browser", "new_page", "other_site", "page", "vendor"]
