-- When each access token was last used, to the hour (ledger/store/token_uses.py). Disposable.

CREATE TABLE keyfold_token_uses (
    token text COLLATE "C" PRIMARY KEY,
    used_at text NOT NULL       -- the beginning of the hour, in ISO 8601
);
