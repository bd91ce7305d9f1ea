"""Mails what ends soon. Run it every minute."""

import smtplib
from email.message import EmailMessage

from app import URL, env, query

# For this process alone, and again for any if it dies; not before there is anybody to be told.
TAKE = """UPDATE reminders SET taken_until = datetime('now', '+10 minutes') WHERE notice = (
    SELECT notice FROM reminders JOIN users USING (account) WHERE sent_at IS NULL
    AND taken_until < datetime('now') AND datetime(ends_at) > datetime('now') LIMIT 1
) RETURNING notice, summary, (
    SELECT group_concat(email, ', ') FROM users WHERE users.account = reminders.account
) AS emails"""

while due := query(TAKE):
    mail = EmailMessage()
    mail["From"], mail["Bcc"] = env["PORTAL_MAIL_FROM"], due[0]["emails"]
    mail["Subject"] = "Your licences end soon"
    mail["Message-ID"] = f"<{due[0]['notice']}@portal>"  # the same if it is sent again
    mail.set_content(f"{due[0]['summary']}.\n\nRenew them here: {URL}\n")
    with smtplib.SMTP(env["PORTAL_SMTP_HOST"], int(env["PORTAL_SMTP_PORT"]), timeout=10) as smtp:
        smtp.send_message(mail)
    sent = "UPDATE reminders SET sent_at = datetime('now') WHERE notice = ?"
    query(sent, due[0]["notice"])
