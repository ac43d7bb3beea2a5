// Storage for oidc-provider. Its own in-memory store forgets the oldest of 1000 entries, which under load
// would look like revocation. This one forgets nothing by itself: the models check `exp` in their payload.

const stored = new Map(); // model name -> Map of id -> payload

export class MapAdapter {
  constructor(model) {
    // One map for all providers: what one of them issued counts at all, and is forgotten at all.
    this.items = stored.get(model) ?? new Map();
    stored.set(model, this.items);
  }

  async upsert(id, payload) { this.items.set(id, payload); }

  async find(id) { return this.items.get(id); }

  async findByUid(uid) { return this.#first((payload) => payload.uid === uid); }

  async findByUserCode(userCode) { return this.#first((payload) => payload.userCode === userCode); }

  async consume(id) { this.items.get(id).consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { this.items.delete(id); }

  async revokeByGrantId(grantId) {
    for (const [id, payload] of this.items) {
      if (payload.grantId === grantId) this.items.delete(id);
    }
  }

  #first(matches) {
    for (const payload of this.items.values()) {
      if (matches(payload)) return payload;
    }
    return undefined;
  }
}

// Drop all items of these models, and of no other: a family's refresh tokens outlive its access tokens.
export function forget(...models) {
  for (const model of models) stored.get(model)?.clear();
}
