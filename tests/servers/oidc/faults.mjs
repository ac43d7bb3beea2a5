// Answers that tests want in place of a server's own.

import { randomBytes } from 'node:crypto';

import { answer, wholeNumber } from './serving.mjs';

const refusals = new Map(); // by place

export function refuseNext(query) {
  refusals.set(query.get('at'), {
    count: wholeNumber(query, 'count', 0),
    error: query.get('error'),
    hasNonce: query.get('nonce') === 'true',
    isHandled: query.get('handled') === 'true',
    status: wholeNumber(query, 'status', 0),
  });
}

export function refuseNoMore() {
  refusals.clear();
}

export function takeRefusal(place) {
  const refusal = refusals.get(place);
  if (!refusal || refusal.count === 0) return undefined;
  refusal.count -= 1;
  return refusal;
}

// A challenge that wants a nonce brings one that's never good, unless the test has it bring none.
export function nonceOf({ error, hasNonce }) {
  return error === 'use_dpop_nonce' && hasNonce ? { 'DPoP-Nonce': randomBytes(12).toString('base64url') } : {};
}

export function give(res, refusal) {
  const { error, status } = refusal;
  if (status === 0) {
    res.socket.destroy();
  } else {
    answer(res, status, error === null ? {} : { error }, nonceOf(refusal));
  }
}

// Have the request handled as ever, so that all that it carries is used, and another answer sent.
export function replaceAnswer(res, refusal) {
  res.end = () => {
    delete res.end;
    res.getHeaderNames().filter((name) => name !== 'date').forEach((name) => res.removeHeader(name));
    give(res, refusal);
    return res;
  };
}
