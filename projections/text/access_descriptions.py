"""Access to pages and to the API, and messages to webhooks, as sentences."""

from __future__ import annotations

from typing import Final

from ledger.events import Fact
from ledger.streams.console_session import (
    ConsoleSessionEnded,
    ConsoleSessionOpened,
    PersonSignedIn,
    PersonSignedOut,
)
from ledger.streams.notice_links import NoticeLinkMade, NoticeLinkRevoked
from ledger.streams.people import (
    PersonAdmitted,
    PersonLetIn,
    PersonLockedOut,
    PersonSessionsEnded,
)
from ledger.streams.portal_access import PortalSessionsEnded
from ledger.streams.portal_session import (
    PortalLinkMade,
    PortalSessionEnded,
    PortalSessionOpened,
)
from ledger.streams.request import (
    ChangeAnswered,
    KeysChosen,
    KeysReissueAnswered,
    KeysRevokeAnswered,
    RedemptionAnswered,
    SubscriptionChangeAnswered,
)
from ledger.streams.sign_ins import ConsoleSignInRefused, PersonSignInRefused
from ledger.streams.signing_keys import SigningKeysRotated
from ledger.streams.token import TokenCreated, TokenRevoked
from ledger.streams.webhooks import (
    WebhookAdded,
    WebhookDisabled,
    WebhookRemoved,
    WebhookReplayed,
    WebhookSecretRotated,
    WebhookTested,
)
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.text.formatting import counted, minute, title


def access_sentence(fact: Fact, stream: str) -> str | None:
    """Return who was given access, or what was answered again; None for another fact."""
    match fact:
        case TokenCreated():
            return _token(fact)
        case TokenRevoked():
            token = stream.replace("token-", "kft_", 1)
            return _("Access taken back: token %(token)s", token=token)
        case RedemptionAnswered(refusal=str() as refusal):
            return _("A redemption that may be repeated was refused: %(why)s", why=title(refusal))
    return _answer_sentence(fact) or _session_sentence(fact) or _person_sentence(fact)


def _answer_sentence(fact: Fact) -> str | None:
    match fact:
        case RedemptionAnswered(account=account):
            return _(
                "A redemption that may be repeated was carried out on account %(account)s",
                account=account,
            )
        case SubscriptionChangeAnswered(account=account):
            return _(
                "A change that may be repeated was carried out on account %(account)s",
                account=account,
            )
        case ChangeAnswered(stream=stream):
            return _("A change of %(stream)s that may be repeated was carried out", stream=stream)
        case KeysChosen(keys=keys, kept=kept):
            return _(
                "A request that may be repeated is about %(keys)s; left as they are: %(kept)s",
                keys=counted(len(keys), "key"),
                kept=len(kept),
            )
        case KeysRevokeAnswered(finished=True):
            return _("A revocation of keys that may be repeated was carried out")
        case KeysRevokeAnswered(keys=keys, kept=kept):
            return _(
                "Revoked by a request that may be repeated: %(keys)s; left as they are: %(kept)s",
                keys=counted(len(keys), "key"),
                kept=len(kept),
            )
        case KeysReissueAnswered(finished=True):
            return _("A reissue that may be repeated was carried out")
        case KeysReissueAnswered(keys=keys):
            return _(
                "%(keys)s got new codes by a reissue that may be repeated",
                keys=counted(len(keys), "key"),
            )
    return None


def _token(fact: TokenCreated) -> str:
    text = _("Access given: token %(token)s of role %(role)s", token=fact.token, role=fact.role)
    if fact.reseller:
        text = _("%(text)s of %(reseller)s", text=text, reseller=fact.reseller)
    if fact.expires_at:
        text = _("%(text)s until %(time)s", text=text, time=minute(fact.expires_at))
    return text


def _session_sentence(fact: Fact) -> str | None:
    match fact:
        case PortalSessionOpened():
            return _(
                "Hosted pages of account %(account)s opened until %(time)s",
                account=fact.account, time=minute(fact.expires_at),
            )  # fmt: skip
        case PortalLinkMade():
            return _(
                "Link to the hosted pages of account %(account)s made, valid until %(time)s",
                account=fact.account, time=minute(fact.expires_at),
            )  # fmt: skip
        case PortalSessionEnded():
            return _("Hosted pages of account %(account)s left", account=fact.account)
        case PortalSessionsEnded():
            return _(
                "All sessions on the hosted pages of account %(account)s ended",
                account=fact.account,
            )
        case ConsoleSessionOpened():
            return _(
                "Signed in at the console with token %(token)s, until %(time)s",
                token=fact.token, time=minute(fact.expires_at),
            )  # fmt: skip
        case ConsoleSessionEnded():
            return _("Signed out at the console, of token %(token)s", token=fact.token)
        case ConsoleSignInRefused(token=who) | PersonSignInRefused(person=who):
            return _refused_sign_in(fact.problem, who)
        case SigningKeysRotated(keep_previous=True):
            return _("Links and cookies are signed with a new key; the last one is still taken")
        case SigningKeysRotated():
            return _("Links and cookies are signed with a new key; none before it is still taken")
    return None


def _person_sentence(fact: Fact) -> str | None:
    match fact:
        case PersonSignedIn():
            return _(
                "Signed in at the console by the provider: person %(person)s of %(role)s, until"
                " %(time)s",
                person=fact.person, role=_role(fact.role, fact.reseller),
                time=minute(fact.expires_at),
            )  # fmt: skip
        case PersonSignedOut(person=person):
            return _("Signed out at the console: person %(person)s", person=person)
        case PersonAdmitted(person=person):
            return _(
                "Person %(person)s signs in as one of %(role)s from now on",
                person=person, role=_role(fact.role, fact.reseller),
            )  # fmt: skip
        case PersonSessionsEnded(person=person):
            return _("All sessions of person %(person)s at the console ended", person=person)
        case PersonLockedOut(person=person):
            return _("Person %(person)s locked out of the console", person=person)
        case PersonLetIn(person=person):
            return _("Person %(person)s let in at the console again", person=person)
    return None


def _role(role: str, reseller: str | None) -> str:
    shown = _("role %(role)s", role=role)
    return _("%(text)s of %(reseller)s", text=shown, reseller=reseller) if reseller else shown


_SIGN_IN_PROBLEMS: Final = {
    "unknown_token": _n("nobody's token"),
    "revoked_token": _n("a revoked token"),
    "expired_token": _n("an expired token"),
    "portal_token": _n("a token of role portal"),
    "locked_out": _n("a person who is locked out"),
    "no_role": _n("a person to whom the provider gives no role"),
    "unknown_role": _n("a person of no role that has a console"),
    "portal_role": _n("a person of role portal"),
    "no_reseller": _n("a person of a reseller that the provider does not name"),
    "unknown_reseller": _n("a person of a reseller that the ledger does not know"),
}


def _refused_sign_in(problem: str, who: str | None) -> str:
    which = f" ({who})" if who else ""
    why = _(_SIGN_IN_PROBLEMS[problem])
    return _("Sign-in at the console refused: %(problem)s", problem=why) + which


def webhook_sentence(fact: Fact) -> str:
    """Return what happened to a webhook; the name of a fact that nobody has a sentence for."""
    match fact:
        case WebhookAdded(webhook=id, host=host):
            kinds = ", ".join(fact.kinds)
            if fact.reseller:
                return _(
                    "Webhook %(webhook)s added: %(kinds)s about keys of %(reseller)s to %(host)s",
                    webhook=id, kinds=kinds, reseller=fact.reseller, host=host,
                )  # fmt: skip
            return _(
                "Webhook %(webhook)s added: %(kinds)s to %(host)s",
                webhook=id, kinds=kinds, host=host,
            )  # fmt: skip
        case WebhookSecretRotated(webhook=id):
            return _(
                "Secret of webhook %(webhook)s rotated; the last one signs for another day",
                webhook=id,
            )
        case WebhookTested(webhook=id):
            return _("Test of webhook %(webhook)s asked for", webhook=id)
        case WebhookReplayed(webhook=id, after=after):
            return _(
                "Everything after position %(position)s sent to webhook %(webhook)s once more",
                position=after, webhook=id,
            )  # fmt: skip
        case WebhookDisabled(webhook=id):
            return _(
                "Webhook %(webhook)s disabled: a message was not taken for three days", webhook=id
            )
        case WebhookRemoved(webhook=id):
            return _("Webhook %(webhook)s removed", webhook=id)
    return type(fact).__name__


def notice_link_sentence(fact: Fact) -> str:
    """Return what happened to a link to notices; the name of a fact that has no sentence."""
    match fact:
        case NoticeLinkMade(link=id):
            whose = _whose_notices(fact)
            if fact.kinds:
                return _(
                    "Link %(link)s to notices of kind %(kinds)s %(whose)s made",
                    link=id, kinds=", ".join(fact.kinds), whose=whose,
                )  # fmt: skip
            return _("Link %(link)s to notices %(whose)s made", link=id, whose=whose)
        case NoticeLinkRevoked(link=id):
            return _(
                "Link %(link)s to notices %(whose)s revoked", link=id, whose=_whose_notices(fact)
            )
    return type(fact).__name__


def _whose_notices(fact: NoticeLinkMade | NoticeLinkRevoked) -> str:
    if fact.account is not None:
        return _("of account %(account)s", account=fact.account)
    if fact.reseller is not None:
        return _("about keys of %(reseller)s", reseller=fact.reseller)
    return _("about everything")
