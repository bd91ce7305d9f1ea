"""Money that goes back: refunds and disputes."""

from __future__ import annotations

from tests.stripe_server.errors import Json, invalid, missing_parameter
from tests.stripe_server.world import DAY, World, copied, differences


def create_refund(world: World, params: Json) -> Json:
    """Give a charge back, whole or in part."""
    if "payment_intent" in params:
        intent = world.get("payment_intent", params["payment_intent"], "payment_intent", 400)
        name = intent["latest_charge"]
    elif "charge" in params:
        name = params["charge"]
    else:
        raise missing_parameter("charge")
    charge = world.get("charge", name, "charge", 400)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if amount > left or left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, code="charge_already_refunded")
    refund = world.add(
        {
            "id": world.new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": world.clock,
            "currency": charge["currency"],
            "metadata": params.get("metadata") or {},
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "receipt_number": None,
            "status": "succeeded",
        }
    )
    before = copied(charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge, differences(before, charge))
    return refund


def open_dispute(world: World, name: str, *, reason: str = "fraudulent") -> Json:
    """Let a charge's owner dispute it."""
    charge = world.get("charge", name)
    charge["disputed"] = True
    dispute = world.add(
        {
            "id": world.new_id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": world.clock,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {"enhanced_evidence": {}},
            "evidence_details": {
                "due_by": world.clock + 7 * DAY,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": True,
            "livemode": world.settings.livemode,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
    )
    world.emit("charge.dispute.created", dispute)
    return dispute


def close_dispute(world: World, name: str, *, won: bool) -> Json:
    """Let a dispute be decided."""
    dispute = world.get("dispute", name)
    before = copied(dispute)
    dispute["status"] = "won" if won else "lost"
    world.emit("charge.dispute.closed", dispute, differences(before, dispute))
    return dispute
