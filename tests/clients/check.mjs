// Uses the built client as its readers will: node check.mjs URL TOKEN. Prints what it saw, as JSON.
import { createHmac } from "node:crypto";
import { Problem, Unexpected, connect, items, verify } from "./dist/index.js";

const [url, token] = process.argv.slice(2);
const keyfold = connect(url, token);
const seen = {};
const caught = async (call) => { try { await call(); return null; } catch (error) { return error; } };
const body = { product: "cloud_pos", seats: 2, months: 12, reseller: "Alpine Tills", count: 5 };

const issued = (await keyfold.POST("/v1/keys", { body })).data;
const { data: redeemed } = await keyfold.POST("/v1/keys/redeem", {
  body: { account: "node", session: "visit", code: issued.keys[0].code },
});
seen.seats = redeemed.subscription.seats;
const path = { account: "node", product: "cloud_pos", holder: "till:1" };
await keyfold.PUT("/v1/accounts/{account}/seats/{product}/{holder}", { params: { path }, body: {} });
const { data: seat } = await keyfold.GET("/v1/accounts/{account}/seats/{product}/{holder}", { params: { path } });
seen.seat = [seat.holder, seat.licensed];
const listed = new Set();
const query = { batch: issued.batch, limit: 2 };
for await (const key of items((cursor) => keyfold.GET("/v1/keys", { params: { query: { ...query, cursor } } }))) {
  listed.add(key.id);
}
seen.listed = listed.size;

const wrong = await caught(() => keyfold.POST("/v1/keys", { body: { ...body, seats: 0 } }));
seen.problem = [wrong instanceof Problem, wrong.status, wrong.code, wrong.errors.map((one) => one.pointer)];
const dots = { ...path, holder: ".." };
const elsewhere = await caught(() => keyfold.GET("/v1/accounts/{account}/seats/{product}/{holder}", { params: { path: dots } }));
seen.elsewhere = [elsewhere.name, elsewhere.code];
const lost = await caught(() => keyfold.POST("/v1/keys/{key}/reveal", {
  params: { path: { key: issued.keys[1].id } }, body: { reason: "Sent twice" },
}));
seen.lost = lost !== null && !(lost instanceof Problem);
const busy = await caught(() => connect(url, token, { retries: 1 }).GET("/v1/batches"));
seen.busy = [busy instanceof Unexpected, busy.status];
const later = await caught(() => keyfold.GET("/v1/batches"));
seen.later = [later.code, later.retryAfterS, later.requestId];
const broken = await caught(() => keyfold.GET("/v1/batches"));
seen.broken = [broken instanceof Unexpected, broken.status];

const secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const at = String(Math.floor(Date.now() / 1000));
const sign = (text) => createHmac("sha256", Buffer.from(secret, "base64")).update(`m.${at}.${text}`).digest("base64");
const headers = { "webhook-id": "m", "webhook-timestamp": at, "webhook-signature": `v1,${sign('{"a":1}')}` };
seen.message = verify(`whsec_${secret}`, '{"a":1}', headers);
seen.forged = (await caught(async () => verify(`whsec_${secret}`, '{"a":2}', headers))).name;
console.log(JSON.stringify(seen));
