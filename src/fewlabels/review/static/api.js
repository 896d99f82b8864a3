/** Requests to the server that this page came from. Every failure is one of two errors. */

/** The server answered, but not with 200. `body` is its JSON, or {} where it sent none. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? body?.detail?.toString() ?? `the server answered ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** No answer: no connection, or none in time. Whether the server did what was asked is not known. */
export class Unreachable extends Error {}

const PATIENCE = 20_000; // ms; /api/graph may wait for ten seconds

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw new Unreachable(String(error));
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  if (body === null) throw new Unreachable("the answer broke off");
  return body;
}

/** GET with those parameters that have a value. */
export function get(path, parameters = {}) {
  const wanted = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(wanted).toString();
  return request(query ? `${path}?${query}` : path, { method: "GET", cache: "no-store" });
}

/** POST of JSON. */
export function post(path, body) {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}
