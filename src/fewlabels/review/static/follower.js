/** Follows the graph: after each answer, what moved. One request at a time, for the newest event. */

const PAUSE = 1_500; // ms after a failure

/**
 * @param {Function} get (path, parameters) -> promise
 * @param {Function} moved called with each reply of /api/graph
 * @param {Function} failed called with each error
 * @param {number} event the event that is known at the start
 */
export function createFollower(get, moved, failed, event) {
  let done = event;
  let newest = event;
  let busy = false;

  async function follow() {
    busy = true;
    while (done < newest) {
      try {
        const reply = await get("/api/graph", { after: newest });
        done = Math.max(done, reply.event);
        moved(reply);
      } catch (error) {
        failed(error);
        await new Promise((go) => setTimeout(go, PAUSE)); // the outbox tells what is wrong
      }
    }
    busy = false;
  }

  return {
    /** The server has written this event: wait until the graph knows it. */
    want(number) {
      newest = Math.max(newest, number);
      if (!busy) follow();
    },
  };
}
