"""What a reader has chosen: the language."""

from __future__ import annotations

import re
from typing import Final

from flask import Response, request, url_for

from web.html import languages
from web.html.rendering import redirect_to
from web.portal.blueprint import bp
from web.portal.session import session_required

_PATH: Final = re.compile(r"/portal/[a-z_/]{0,100}")


@bp.post("/language")
@session_required
def choose_language() -> Response:
    """Remember the language that the reader has chosen, and go back to the page."""
    code, back = request.form.get("language", ""), request.form.get("back", "")
    onward = back if _PATH.fullmatch(back) else url_for("portal.show_first")
    return languages.remember(redirect_to(onward), code)
