// Appends to Emmett's PostgreSQL store, for bench/stores.py; bench/programs.py has the protocol.
//
// Each append is one event to a stream of its own that must not exist yet, through one pool, as many
// at a time as there are clients. The schema is made beforehand, as Emmett's own benchmark does it.
// No stream is expected as version 0: `STREAM_DOES_NOT_EXIST` is not checked by this version, and
// costs one look-up more.

import { getPostgreSQLEventStore } from "@event-driven-io/emmett-postgresql";
import { once } from "node:events";
import { createInterface } from "node:readline";

const { DATABASE_URL, CLIENTS, STATE } = process.env;

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const store = getPostgreSQLEventStore(DATABASE_URL, { schema: { autoMigration: "None" } });
const event = { type: "account.seat_occupied", data: JSON.parse(STATE) };
let appended = 0;

const append = () =>
  store.appendToStream(`bench-${process.pid}-${(appended += 1)}`, [event], {
    expectedStreamVersion: 0n,
  });

const client = async (calls, seconds) => {
  const until = performance.now() + seconds * 1e3;
  for (let began; (began = performance.now()) < until; ) {
    await append();
    calls.push((performance.now() - began) / 1e3);
  }
};

const round = async (seconds) => {
  const calls = [];
  const began = performance.now();
  await Promise.all(Array.from({ length: Number(CLIENTS) }, () => client(calls, seconds)));
  return { calls, elapsed: (performance.now() - began) / 1e3 };
};

try {
  await store.schema.migrate();
  await append();
  tell({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const { seconds } = JSON.parse(line);
    if (!tell(await round(seconds))) await once(process.stdout, "drain");
  }
} catch (error) {
  tell({ failed: String(error) });
} finally {
  await store.close();
}
