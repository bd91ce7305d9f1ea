-- oldest program: 8
-- The list of orders that wait for the vendor (projections/lists/orders.py). Disposable.

CREATE TABLE keyfold_order_list_1 (
    position bigint PRIMARY KEY,  -- of the event that placed it
    id text COLLATE "C" NOT NULL UNIQUE,
    reseller_id text COLLATE "C" NOT NULL,  -- whose, folded
    status text COLLATE "C" NOT NULL
);

CREATE INDEX keyfold_order_list_1_reseller ON keyfold_order_list_1 (reseller_id, position);
CREATE INDEX keyfold_order_list_1_status ON keyfold_order_list_1 (status, position);

-- Which key gave a subscription (projections/lists/resellers.py).

CREATE INDEX keyfold_key_list_2_subscription ON keyfold_key_list_2 (subscription)
    WHERE subscription IS NOT NULL;
