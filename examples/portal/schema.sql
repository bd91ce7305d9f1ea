CREATE TABLE IF NOT EXISTS users (email TEXT PRIMARY KEY, password TEXT NOT NULL, account TEXT NOT NULL);
-- What Keyfold's last message said of an account.
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY, position INTEGER, sequence INTEGER, state TEXT NOT NULL
);
-- A reminder is one process's alone until taken_until, and comes back if that one dies.
CREATE TABLE IF NOT EXISTS reminders (
    notice TEXT PRIMARY KEY, account TEXT NOT NULL, summary TEXT NOT NULL, ends_at TEXT NOT NULL,
    taken_until TEXT NOT NULL DEFAULT '', sent_at TEXT
);
