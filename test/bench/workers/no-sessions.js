import worker from "./index.js";

export { Catalog, PushSessions } from "./index.js";

/** The built Worker with push sessions that respond at once and store nothing, to measure the rest. */
const [MATCH, NO_MATCH] = [1, 2];
const object = {
  inspect: async () => ({
    retrySuspected: false,
    session: { isIdentified: true, isFull: false, batches: [] },
  }),
  decide: async (_push, _fingerprint, _request, _contents, found) => ({
    decisions: found.map((mark) => (mark === MATCH ? MATCH : NO_MATCH)),
    decidedEarlier: 0,
  }),
};

/** One env object for all requests, because the Worker keeps its state per env object. */
let envWithoutSessions;

export default {
  fetch(request, env, ctx) {
    envWithoutSessions ??= { ...env, PUSH_SESSIONS: { getByName: () => object } };
    return worker.fetch(request, envWithoutSessions, ctx);
  },
};
