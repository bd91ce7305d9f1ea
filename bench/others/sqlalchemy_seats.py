"""Taking a seat as a team would write it with SQLAlchemy.

    python -m bench.others.sqlalchemy_seats postgresql://… CLIENTS ACCOUNT…

One transaction: the subscription's row is locked, its counter is held against its limit, the seat
is inserted, the counter goes up; commit. There is no history, and no row for an audit.

Core and not the ORM's unit of work, which sends the same statements and takes longer for them.
Connections are pooled, one for each client; psycopg prepares the statements on the server.
"""

from __future__ import annotations

import itertools
import sys
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    select,
)

from bench.others import Full
from bench.programs import serve
from bench.rounds import Work

metadata = MetaData()
subscriptions = Table(
    "sqlalchemy_subscription",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("account", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("seats", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    UniqueConstraint("account", "product"),
)
seats = Table(
    "sqlalchemy_seat",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("subscription_id", ForeignKey(subscriptions.c.id), nullable=False),
    Column("holder", Text, nullable=False),
    Column("occupied_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("subscription_id", "holder"),
)


def make(url: str, clients: int, accounts: list[str]) -> Work:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=clients)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for account in accounts:
            row = {"account": account, "product": "cloud_pos", "seats": 1_000_000, "used": 0}
            connection.execute(subscriptions.insert().values(row))
    numbers = itertools.count()

    def occupy(account: str, product: str, holder: str) -> None:
        with engine.begin() as connection:
            found = connection.execute(
                select(subscriptions.c.id, subscriptions.c.seats, subscriptions.c.used)
                .where(subscriptions.c.account == account, subscriptions.c.product == product)
                .with_for_update()
            ).one()
            if found.used >= found.seats:
                raise Full
            connection.execute(
                seats.insert().inline(),
                {
                    "subscription_id": found.id,
                    "holder": holder,
                    "occupied_at": datetime.now(UTC),
                },
            )
            connection.execute(
                subscriptions.update()
                .where(subscriptions.c.id == found.id)
                .values(used=subscriptions.c.used + 1)
            )

    return lambda client: occupy(
        accounts[client % len(accounts)], "cloud_pos", f"till-{next(numbers)}"
    )


if __name__ == "__main__":
    url, clients, *accounts = sys.argv[1:]
    serve(lambda: make(url, int(clients), accounts), int(clients))
