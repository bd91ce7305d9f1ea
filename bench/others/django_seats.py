"""Taking a seat as a team would write it with Django.

    python -m bench.others.django_seats postgresql://… CLIENTS ACCOUNT…

One transaction: the subscription's row is locked, its counter is held against its limit, the seat
is inserted, the counter goes up; commit. There is no history, and no row for an audit.

Connections last, and parameters are bound by the server, which lets psycopg prepare statements.
"""

from __future__ import annotations

import itertools
import sys

from bench.others import Full
from bench.others.django_set_up import set_up, with_connection
from bench.programs import serve
from bench.rounds import Work

SEATS = "django_seat"


def make(url: str, accounts: list[str]) -> Work:
    set_up(url, [])
    from django.db import connection, models, transaction
    from django.utils import timezone

    class Subscription(models.Model):
        account = models.TextField()
        product = models.TextField()
        seats = models.IntegerField()
        used = models.IntegerField(default=0)

        class Meta:
            app_label = "seats"
            unique_together = ("account", "product")

    class Seat(models.Model):
        subscription = models.ForeignKey(Subscription, models.CASCADE)
        holder = models.TextField()
        occupied_at = models.DateTimeField()

        class Meta:
            app_label = "seats"
            db_table = SEATS
            unique_together = ("subscription", "holder")

    if SEATS not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Subscription)
            editor.create_model(Seat)
    for account in accounts:
        Subscription.objects.create(account=account, product="cloud_pos", seats=1_000_000)
    numbers = itertools.count()

    def occupy(account: str, product: str, holder: str) -> None:
        with transaction.atomic():
            found = Subscription.objects.select_for_update().get(account=account, product=product)
            if found.used >= found.seats:
                raise Full
            Seat.objects.create(subscription=found, holder=holder, occupied_at=timezone.now())
            found.used += 1
            found.save(update_fields=["used"])

    def work(client: int) -> None:
        with_connection(client)
        occupy(accounts[client % len(accounts)], "cloud_pos", f"till-{next(numbers)}")

    return work


if __name__ == "__main__":
    url, clients, *accounts = sys.argv[1:]
    serve(lambda: make(url, accounts), int(clients))
