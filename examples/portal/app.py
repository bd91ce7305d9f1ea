"""A customer portal on Keyfold, to start from: README.md says how to run it and what it lacks."""

import json
import os
import sqlite3
from contextlib import closing

import click
import httpx
from flask import Flask, abort, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import CSRFProtect
from keyfold_client import Problem, WebhookVerificationError, connect, verify
from keyfold_client.models import MakeLink
from keyfold_client.operations import get_seat, make_portal_session
from werkzeug.security import check_password_hash, generate_password_hash

env = os.environ
URL, DATABASE = env["PORTAL_URL"], env.get("PORTAL_DATABASE", "portal.db")
KEYFOLD, TOKEN = env["PORTAL_KEYFOLD_URL"], env["PORTAL_KEYFOLD_TOKEN"]
WEBHOOK_SECRET = env["PORTAL_WEBHOOK_SECRET"]
NOBODY = generate_password_hash(os.urandom(16).hex())  # an unknown address takes as long as a known
# A replay brings what is older than what is here: that changes nothing.
KEEP_STATE = """INSERT OR REPLACE INTO accounts SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
    SELECT 1 FROM accounts WHERE account = ?1 AND (position, sequence) >= (?2, ?3))"""
KEEP_REMINDER = "INSERT OR IGNORE INTO reminders VALUES (?, ?, ?, ?, '', NULL)"

app = Flask(__name__)
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_SECURE=URL.startswith("https:"))
app.config.update(PERMANENT_SESSION_LIFETIME=8 * 3600, MAX_CONTENT_LENGTH=4 * 1024 * 1024)
app.secret_key = env["PORTAL_SECRET_KEY"]
csrf = CSRFProtect(app)  # of every form
keyfold = connect(KEYFOLD, TOKEN, timeout_s=5, wait_s=5)


def query(sql: str, *values: object) -> list[sqlite3.Row]:
    """Return the rows of a statement, which is a transaction of its own."""
    with closing(sqlite3.connect(DATABASE, timeout=10)) as database, database:
        database.row_factory = sqlite3.Row
        return database.execute(sql, values).fetchall()


with closing(sqlite3.connect(DATABASE)) as new, app.open_resource("schema.sql", "r") as schema:
    new.executescript(schema.read())


@app.errorhandler(Problem)
@app.errorhandler(httpx.HTTPError)
def refuse(error: Exception) -> ResponseReturnValue:
    """Return what is said when Keyfold has no such thing, or does not answer as it should."""
    if isinstance(error, Problem) and error.status in (404, 422):  # there is no such thing
        return error.title, 404
    app.logger.error("Keyfold: %r", error)
    return "Licences cannot be looked up right now. Please try again.", 503


def account() -> str:
    """Return the account of who is signed in. It never comes out of a request."""
    return str(session.get("account") or abort(redirect(url_for("sign_in"), 303)))


@app.get("/login")
def sign_in() -> str:
    return render_template("login.html")


@app.post("/login")
def check_password() -> ResponseReturnValue:
    email = request.form["email"].strip().lower()
    found = query("SELECT password, account FROM users WHERE email = ?", email)
    password, of_account = found[0] if found else (NOBODY, "")
    if not check_password_hash(password, request.form["password"]):
        return render_template("login.html", wrong=True), 401
    session.clear()  # nothing of before counts any more
    session.permanent, session["account"] = True, of_account
    return redirect(url_for("home"), 303)


@app.post("/logout")
def sign_out() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("sign_in"), 303)


@app.get("/")
def home() -> str:
    """Show what the account has, out of the portal's own table."""
    found = query("SELECT state FROM accounts WHERE account = ?", account())
    return render_template("home.html", states=[json.loads(one["state"]) for one in found])


@app.post("/manage")
def manage() -> ResponseReturnValue:
    """Lead to Keyfold's pages, where keys are activated, seats bought and given out."""
    wanted = MakeLink(return_url=URL + url_for("home"))
    return redirect(make_portal_session(account(), client=keyfold, body=wanted).url, 303)


@app.get("/may-work/<product>/<holder>")
def may_work(product: str, holder: str) -> dict[str, object]:
    """Tell whether this one may work right now: Keyfold knows, the table may lag."""
    seat = get_seat(account(), product, holder, client=keyfold)
    return {"licensed": seat.licensed, "reason": seat.reason}


@app.post("/hooks/keyfold")
@csrf.exempt  # it is signed
def take_message() -> ResponseReturnValue:
    """Keep the tables current, whatever comes twice or late; reminders.py mails what is due."""
    try:
        message = verify(WEBHOOK_SECRET, request.get_data(), request.headers)
    except WebhookVerificationError:
        return "", 401
    about, position, data = message["account"], message["position"], message["data"]
    if message["type"] == "notice.subscription.ending":
        query(KEEP_REMINDER, data["id"], about, data["summary"], data["facts"]["ends_at"])
    if about is not None:  # a test has none, nor has a key that nobody redeemed
        query(KEEP_STATE, about, position, message["sequence"], json.dumps(message["state"]))
    return "", 204


@app.cli.command()
@click.argument("email")
@click.argument("of_account", metavar="ACCOUNT")
@click.password_option()
def add_user(email: str, of_account: str, password: str) -> None:
    """Let EMAIL sign in for ACCOUNT, which is the portal's own id of the customer."""
    hashed = generate_password_hash(password)
    query("REPLACE INTO users VALUES (?, ?, ?)", email.strip().lower(), hashed, of_account)
