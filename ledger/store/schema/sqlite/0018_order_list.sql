-- oldest program: 8
-- The list of orders that wait for the vendor (projections/lists/orders.py). Disposable.

CREATE TABLE keyfold_order_list_1 (
    position INTEGER PRIMARY KEY,  -- of the event that placed it
    id TEXT NOT NULL UNIQUE,
    reseller_id TEXT NOT NULL,  -- whose, folded
    status TEXT NOT NULL
);

CREATE INDEX keyfold_order_list_1_reseller ON keyfold_order_list_1 (reseller_id, position);
CREATE INDEX keyfold_order_list_1_status ON keyfold_order_list_1 (status, position);

-- Which key gave a subscription (projections/lists/resellers.py).

CREATE INDEX keyfold_key_list_2_subscription ON keyfold_key_list_2 (subscription)
    WHERE subscription IS NOT NULL;
