"""A customer portal on Keyfold, to start from: its own login, and all about licences by the API.

README.md beside it says how to run it, and what a real one needs beside.
"""

from __future__ import annotations

import hmac
import json
import secrets
import smtplib
import sqlite3
from datetime import timedelta
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import click
import requests
from flask import Flask, abort, g, redirect, render_template, request, session, url_for
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response

app = Flask(__name__)
app.config.from_mapping(DATABASE="portal.db", SMTP_PORT="25")
app.config.from_prefixed_env("PORTAL", loads=str)  # PORTAL_SECRET_KEY, …: see README.md
app.config.update(
    MAX_CONTENT_LENGTH=4 * 1024 * 1024,
    PERMANENT_SESSION_LIFETIME=timedelta(hours=8),
    SESSION_COOKIE_SAMESITE="Lax",
    SESSION_COOKIE_SECURE=app.config["URL"].startswith("https:"),
)
TIMEOUT_S = 5
NOBODY = generate_password_hash(secrets.token_hex())  # an unknown address takes as long as a known
SCHEMA = """
CREATE TABLE IF NOT EXISTS users (email TEXT PRIMARY KEY, password TEXT, account TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY, position INTEGER, sequence INTEGER, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS reminders (
    notice TEXT PRIMARY KEY, account TEXT NOT NULL, summary TEXT NOT NULL, ends_at TEXT NOT NULL,
    taken_until TEXT NOT NULL DEFAULT '', sent_at TEXT
);
"""
# A replay brings what is older than what is here: that changes nothing.
KEEP_STATE = """
INSERT INTO accounts VALUES (:account, :position, :sequence, :state)
ON CONFLICT (account) DO UPDATE SET position = :position, sequence = :sequence, state = :state
WHERE (:position, :sequence) > (accounts.position, accounts.sequence)
"""
KEEP_REMINDER = """
INSERT INTO reminders (notice, account, summary, ends_at)
VALUES (:id, :account, :summary, :ends_at) ON CONFLICT DO NOTHING
"""
# One for this process alone, given back if it crashes before the mail is sent.
TAKE_REMINDER = """
UPDATE reminders SET taken_until = datetime('now', '+10 minutes') WHERE notice = (
    SELECT notice FROM reminders WHERE sent_at IS NULL AND taken_until < datetime('now')
    AND datetime(ends_at) > datetime('now') LIMIT 1
) RETURNING *
"""


def database() -> sqlite3.Connection:
    """Return this request's connection; `with` it is a transaction."""
    if "database" not in g:
        g.database = sqlite3.connect(app.config["DATABASE"], timeout=10)
        g.database.row_factory = sqlite3.Row
    found: sqlite3.Connection = g.database
    return found


@app.teardown_appcontext
def close_database(_error: BaseException | None) -> None:
    if (connection := g.pop("database", None)) is not None:
        connection.close()


def keyfold(method: str, path: str, body: Any = None) -> Any:
    """Ask Keyfold with the portal's token, and return what it answers."""
    if {".", ".."} & set(path.split("/")):  # a client would take such a part out
        abort(HTTPStatus.NOT_FOUND)
    headers = {"Authorization": f"Bearer {app.config['KEYFOLD_TOKEN']}"}
    url = f"{app.config['KEYFOLD_URL']}/v1{path}"
    answer = requests.request(method, url, json=body, headers=headers, timeout=TIMEOUT_S)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        abort(HTTPStatus.NOT_FOUND)
    answer.raise_for_status()
    return answer.json()


@app.errorhandler(requests.RequestException)
def keyfold_is_away(error: requests.RequestException) -> tuple[str, int]:
    """Return what is said when Keyfold does not answer, or not as it should."""
    app.logger.error("Keyfold: %s", type(error).__name__)
    return "Licences cannot be looked up right now. Please try again.", 503


@app.before_request
def refuse_forms_of_others() -> None:
    if request.method == "POST" and request.endpoint != "take_message":  # which is signed
        kept, sent = session.get("csrf", ""), request.form.get("csrf", "")
        if not kept or not hmac.compare_digest(kept.encode(), sent.encode()):
            abort(400, "This form is too old, or your browser keeps no cookies: load it again.")


@app.context_processor
def form_fields() -> dict[str, str]:
    """Return what each form carries to show that it is ours."""
    return {"csrf": session.setdefault("csrf", secrets.token_urlsafe(32))}


@app.after_request
def harden(response: Response) -> Response:
    """Return the response, not to be kept, framed, or to load anything."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return response


def account() -> str:
    """Return the account of who is signed in. It never comes out of a request."""
    if "account" not in session:
        abort(redirect(url_for("login"), 303))
    return str(session["account"])


@app.get("/login")
def login() -> str:
    return render_template("login.html")


@app.post("/login")
def sign_in() -> Response | tuple[str, int]:
    email, password = request.form["email"].strip().lower(), request.form["password"]
    user = database().execute("SELECT * FROM users WHERE email = ?", (email,)).fetchone()
    if not check_password_hash(user["password"] if user else NOBODY, password):
        return render_template("login.html", wrong=True), 401
    session.clear()  # nothing of before counts any more
    session.permanent, session["account"] = True, user["account"]
    return redirect(url_for("home"), 303)


@app.post("/logout")
def sign_out() -> Response:
    session.clear()
    return redirect(url_for("login"), 303)


@app.get("/")
def home() -> str:
    """Show what the account has, out of the portal's own table."""
    query = "SELECT state FROM accounts WHERE account = ?"
    found = database().execute(query, (account(),)).fetchone()
    return render_template("home.html", state=json.loads(found["state"]) if found else None)


@app.post("/manage")
def manage() -> Response:
    """Lead to Keyfold's pages, where keys are activated, seats bought and given out."""
    wanted = {"return_url": app.config["URL"] + url_for("home")}
    made = keyfold("POST", f"/accounts/{account()}/portal-session", wanted)
    return redirect(made["url"], 303)


@app.get("/may-work/<product>/<holder>")
def may_work(product: str, holder: str) -> dict[str, Any]:
    """Tell whether this one may work right now: Keyfold knows, the table may lag."""
    place = f"{quote(product, safe='')}/{quote(holder, safe='')}"
    seat = keyfold("GET", f"/accounts/{account()}/seats/{place}")
    return {"licensed": seat["licensed"], "reason": seat["reason"]}


@app.post("/hooks/keyfold")
def take_message() -> tuple[str, int]:
    """Keep the table current; a message may come twice. Mail is sent later, by send-reminders."""
    secret, body = app.config["KEYFOLD_WEBHOOK_SECRET"], request.get_data()
    try:
        message = Webhook(secret).verify(body, dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return "", 401
    if message["account"] is not None:  # a test has none, nor has a key that nobody redeemed
        with database() as changes:
            changes.execute(KEEP_STATE, {**message, "state": json.dumps(message["state"])})
            if message["type"] == "notice.subscription.ending":
                ends_at = message["data"]["facts"]["ends_at"]
                of = {**message["data"], "account": message["account"], "ends_at": ends_at}
                changes.execute(KEEP_REMINDER, of)
    return "", 204


def take_reminder() -> sqlite3.Row | None:
    """Return a reminder that is due, taken from others; None when there is none."""
    with database() as changes:
        return next(iter(changes.execute(TAKE_REMINDER).fetchall()), None)


@app.cli.command()
def send_reminders() -> None:
    """Mail what is due; run it every minute."""
    while (reminder := take_reminder()) is not None:
        query = "SELECT email FROM users WHERE account = ?"
        to = [row["email"] for row in database().execute(query, (reminder["account"],))]
        mail = EmailMessage()
        mail["From"], mail["Bcc"] = app.config["MAIL_FROM"], ", ".join(to)
        mail["Subject"] = "Your licences end soon"
        mail["Message-ID"] = f"<{reminder['notice']}@portal>"  # the same if it is sent again
        mail.set_content(f"{reminder['summary']}.\n\nRenew them here: {app.config['URL']}\n")
        host, port = app.config["SMTP_HOST"], int(app.config["SMTP_PORT"])
        if to:
            with smtplib.SMTP(host, port, timeout=TIMEOUT_S) as smtp:
                smtp.send_message(mail)
        with database() as changes:
            done = "UPDATE reminders SET sent_at = datetime('now') WHERE notice = ?"
            changes.execute(done, (reminder["notice"],))


@app.cli.command()
@click.argument("email")
@click.argument("account_id", metavar="ACCOUNT")
@click.password_option()
def add_user(email: str, account_id: str, password: str) -> None:
    """Let EMAIL sign in for ACCOUNT, which is the portal's own id of the customer."""
    user = (email.strip().lower(), generate_password_hash(password), account_id)
    with database() as changes:
        changes.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?)", user)


with app.app_context():
    database().executescript(SCHEMA)
