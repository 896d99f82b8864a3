/** Who this tab is: a client id that no other open tab has, and the numbers of its requests. */

const lockName = (client) => `fewlabels-client-${client}`;

/**
 * Hold a lock for as long as the page lives. True if nobody else holds it.
 * A tab that was duplicated has a copy of the other's sessionStorage; with its numbers it would send requests that the
 * server takes for repetitions. The wait is for the page before a reload, which lets go a moment later.
 */
async function hold(name) {
  if (!navigator.locks) return false;
  return new Promise((held) => {
    const forever = () => {
      held(true);
      return new Promise(() => {});
    };
    navigator.locks.request(name, { signal: AbortSignal.timeout(400) }, forever).catch(() => held(false));
  });
}

function remembered(key) {
  try {
    const found = JSON.parse(sessionStorage.getItem(key));
    return typeof found?.client === "string" && Number.isSafeInteger(found?.seq) ? found : null;
  } catch {
    return null;
  }
}

/**
 * This tab's client: {client, next()}. The same after a reload; another in a duplicated tab.
 * `next` gives the number of the next request and writes it down first, so that none is ever used twice.
 */
export async function openClient(run) {
  const key = `fewlabels:client:${run}`;
  let own = remembered(key);
  if (own === null || !(await hold(lockName(own.client)))) {
    own = { client: crypto.randomUUID(), seq: 0 };
    await hold(lockName(own.client));
  }
  const keep = () => {
    try {
      sessionStorage.setItem(key, JSON.stringify(own));
    } catch {
      // Without storage the id lasts as long as the page; a reload takes a new one.
    }
  };
  keep();
  return {
    client: own.client,
    next() {
      // The clock besides: a browser that was restored after a crash may remember an older number.
      own.seq = Math.max(own.seq + 1, Date.now());
      keep();
      return own.seq;
    },
  };
}

/** The clients whose tabs are open now; null where the browser cannot tell. */
export async function openClients() {
  if (!navigator.locks) return null;
  const { held } = await navigator.locks.query();
  const prefix = lockName("");
  return new Set(held.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length)));
}
