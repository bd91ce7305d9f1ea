/**
 * Keyfold's API for TypeScript. The operations are typed by their paths, as /docs has them; here is
 * what a network needs: tries again where that is safe, the pages of a list, messages verified.
 */
import ky, { HTTPError } from "ky";
import createClient, { type Client, type Middleware } from "openapi-fetch";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { OPERATIONS } from "./keyed.js";
import type { paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export { WebhookVerificationError };

export type Keyfold = Client<paths>;

export interface Options {
  /** How long one try may take. */
  timeoutMs?: number;
  /** How often it is tried again at most. */
  retries?: number;
  /** The longest pause before another try; when Keyfold asks for a longer one, none is made. */
  waitMs?: number;
}

/** Keyfold says no. A program decides by `code`, which is stable. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly errors: { pointer: string; detail: string }[],
    readonly requestId: string,
    readonly retryAfterS: number | null,
  ) {
    super(`${code}: ${detail} (${requestId})`);
    this.name = "Problem";
  }
}

/** An error of something between here and Keyfold. */
export class Unexpected extends Error {
  constructor(readonly status: number) {
    super(`HTTP ${status}, and not from Keyfold`);
    this.name = "Unexpected";
  }
}

const TEMPORARY = [429, 502, 503, 504];

/**
 * Return a client for a Keyfold.
 *
 * Reads, PUT and DELETE, and whatever takes an Idempotency-Key, are tried again after 429, 502,
 * 503 and 504, and when the connection fails; a key is made up where none is given. Another POST is
 * sent once. So an answer that was lost can be followed by one to the second try: 412 to a PUT with
 * If-Match, 404 to a DELETE.
 *
 * A call throws Problem for Keyfold's no, or an id that cannot stand in a path; Unexpected for an
 * error of something in between; and what fetch throws when there is no answer.
 */
export function connect(url: string, token: string, options: Options = {}): Keyfold {
  const client = createClient<paths>({
    baseUrl: url.replace(/\/+$/, ""),
    headers: { Authorization: `Bearer ${token}` },
    fetch: (request) => patiently(request, options),
  });
  client.use(prepared);
  return client;
}

const prepared: Middleware = {
  onRequest({ request, schemaPath, params }) {
    for (const part of Object.values(params.path ?? {})) {
      if (part === "." || part === "..") {
        throw new Problem(422, "invalid_request", "Invalid request", "no id is '.' or '..'", [], "", null);
      }
    }
    const takesKey = OPERATIONS.includes(`${request.method} ${schemaPath}`);
    if (takesKey && !request.headers.has("Idempotency-Key")) {
      request.headers.set("Idempotency-Key", crypto.randomUUID());
    }
    return request;
  },
};

async function patiently(request: Request, options: Options): Promise<Response> {
  const { timeoutMs = 10_000, retries = 4, waitMs = 20_000 } = options;
  const once = ["POST", "PATCH"].includes(request.method) && !request.headers.has("Idempotency-Key");
  try {
    return await ky(request, {
      redirect: "error",
      timeout: timeoutMs,
      retry: {
        limit: once ? 0 : retries,
        methods: ["get", "put", "delete", "post", "patch"],
        statusCodes: TEMPORARY,
        afterStatusCodes: TEMPORARY,
        shouldRetry: ({ error }) =>
          error instanceof HTTPError && (retryAfterS(error.response) ?? 0) * 1000 > waitMs ? false : undefined,
        jitter: true,
        retryOnTimeout: true,
      },
    });
  } catch (error) {
    throw error instanceof HTTPError ? await refusal(error.response) : error;
  }
}

function retryAfterS(response: Response): number | null {
  const after = response.headers.get("Retry-After")?.trim() ?? "";
  return /^\d+$/.test(after) ? Number(after) : null;
}

async function refusal(response: Response): Promise<Problem | Unexpected> {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const found = isProblem ? await response.json().catch(() => null) : await response.body?.cancel();
  if (typeof found?.code !== "string") {
    return new Unexpected(response.status);
  }
  return new Problem(
    response.status, found.code, found.title ?? "", found.detail ?? "", found.errors ?? [],
    found.request_id ?? "", retryAfterS(response),
  );
}

/**
 * Yield everything of a list, page by page:
 * `items((cursor) => keyfold.GET("/v1/keys", { params: { query: { status: "issued", cursor } } }))`.
 */
export async function* items<T>(
  ask: (cursor?: string) => Promise<{ data?: { items: T[]; next: string | null } }>,
): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const { data } = await ask(cursor);
    yield* data?.items ?? [];
    cursor = data?.next ?? undefined;
  } while (cursor !== undefined);
}

/**
 * Return the message that a request to a webhook brings; it may come twice, with the same `id`.
 * `body` is what came, before anything read it. Throws WebhookVerificationError when it is not
 * Keyfold's, or older than five minutes.
 */
export function verify(
  secret: string, body: string | Buffer, headers: Record<string, string>,
): Record<string, unknown> {
  return new Webhook(secret).verify(body, headers) as Record<string, unknown>;
}
