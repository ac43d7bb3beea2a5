// A protected API that takes bound tokens alone where they are bound: by a proof of the key (RFC 9449), or by the
// client's certificate (RFC 8705); and one that may ask for a fresh or stronger login (RFC 9470).
//
// An object of this class is one origin: it has nonces and a record of its own.

import * as crypto from 'node:crypto';

import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose';

import { give, nonceOf } from './faults.mjs';
import { answer, readWhole } from './serving.mjs';

export const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA', 'RS256', 'PS256'];
const SECRET_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'];
const OLDEST_PROOF = 60;

class Refusal extends Error {
  constructor(error, text, parameters = {}, status = error === 'insufficient_scope' ? 403 : 401) {
    super(text);
    this.status = status;
    this.parameters = { error, error_description: text, ...parameters };
  }
}

export class ProtectedApi {
  constructor(findToken) {
    this.findToken = findToken;
    this.used = new Set(); // identifiers of proofs
    this.reset();
  }

  reset() {
    this.requests = [];
    this.nonces = []; // those that are good, the one that's handed out first; none: proofs need none
    this.looksAtProofFirst = true;
    this.login = {}; // acr_values, max_age
  }

  // Hand out a new nonce; the others aren't good any more, or with `keepsOthers` for now still are.
  turnNonce(keepsOthers) {
    this.nonces = [crypto.randomBytes(12).toString('base64url'), ...(keepsOthers ? this.nonces : [])];
  }

  async handle(req, res, url, refused) {
    const request = { method: req.method, path: url.pathname };
    this.requests.push(request);
    Object.assign(request, await readWhole(req));
    const [scheme = '', token = ''] = (req.headers.authorization ?? '').split(' ');
    request.scheme = scheme;
    request.token = token;
    let proof;
    try {
      proof = this.#decode(req.headers.dpop);
      request.proof = proof;
      // what is judged is used, whatever is answered then
      if (!refused || refused.isHandled) await this.#judge(req, url, scheme.toLowerCase(), token);
      if (refused?.error) throw new Refusal(refused.error, 'refused by a test', {}, refused.status);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      request.error = error.parameters.error;
      this.#refuse(res, error, scheme, { ...this.#nonceHeader(proof), ...(refused && nonceOf(refused)) });
      return;
    }
    if (refused) {
      request.error = String(refused.status);
      give(res, refused);
      return;
    }
    const headers = this.#nonceHeader(proof);
    if (url.searchParams.has('redirect')) {
      res.writeHead(307, { Location: url.searchParams.get('redirect'), 'Content-Length': 0, ...headers });
      res.end();
    } else {
      answer(res, 200, { method: req.method, length: request.length, sha256: request.sha256 }, headers);
    }
  }

  #refuse(res, refusal, scheme, more) {
    const parameters = Object.entries({ ...refusal.parameters, algs: ALGORITHMS.join(' ') })
      .map(([name, value]) => `${name}="${value}"`).join(', ');
    const challenge = `${scheme.toLowerCase() === 'bearer' ? 'Bearer' : 'DPoP'} ${parameters}`;
    answer(res, refusal.status, { error: refusal.parameters.error }, { 'WWW-Authenticate': challenge, ...more });
  }

  // As oidc-provider does it: whoever hasn't the latest nonce is told, in any answer.
  #nonceHeader(proof) {
    const [latest] = this.nonces;
    return latest === undefined || proof?.claims.nonce === latest ? {} : { 'DPoP-Nonce': latest };
  }

  #decode(proof) {
    if (proof === undefined) return undefined;
    try {
      const [header, claims] = proof.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
      return { header, claims };
    } catch {
      throw new Refusal('invalid_dpop_proof', "the proof can't be read");
    }
  }

  async #judge(req, url, scheme, text) {
    if (!['dpop', 'bearer'].includes(scheme)) throw new Refusal('invalid_token', 'no token was sent');
    const token = await this.findToken(text);
    const checks = [
      () => {
        if (!token) throw new Refusal('invalid_token', 'The access token is unknown, expired or revoked');
        if ((scheme === 'dpop') !== (token.jkt !== undefined)) {
          throw new Refusal('invalid_token', "the scheme isn't the token's");
        }
      },
      async () => {
        if (scheme !== 'dpop') return;
        const thumbprint = await this.#verify(req, url, text);
        if (token && token.jkt !== thumbprint) throw new Refusal('invalid_token', 'the token is bound to another key');
      },
    ];
    if (this.looksAtProofFirst) checks.reverse();
    for (const check of checks) await check();
    if (token['x5t#S256'] !== undefined && token['x5t#S256'] !== thumbprintOf(req)) {
      throw new Refusal('invalid_token', 'the token is bound to another certificate');
    }
    if (/^\/api\/admin(\/|$)/.test(url.pathname) && !token.scopes.has('admin')) {
      throw new Refusal('insufficient_scope', 'the scope is not enough', { scope: 'admin' });
    }
    this.#judgeLogin(token);
  }

  // RFC 9449 section 4.3; return the thumbprint of the proof's key.
  async #verify(req, url, token) {
    const refuse = (text) => { throw new Refusal('invalid_dpop_proof', text); };
    let verified;
    try {
      verified = await jwtVerify(req.headers.dpop ?? '', EmbeddedJWK, { algorithms: ALGORITHMS, typ: 'dpop+jwt' });
    } catch (error) {
      refuse(String(error));
    }
    const { payload, protectedHeader: { jwk } } = verified;
    const own = `${req.socket.encrypted ? 'https' : 'http'}://${req.headers.host}${req.url.split('?')[0]}`;
    if (SECRET_PARTS.some((name) => name in jwk)) refuse('the key is a private one');
    if (payload.htm !== req.method) refuse('htm is another method');
    if (payload.htu !== own) refuse(`htu is ${payload.htu}, and not ${own}`);
    if (payload.ath !== crypto.hash('sha256', token, 'base64url')) refuse('ath is of another token');
    if (typeof payload.jti !== 'string' || this.used.has(payload.jti)) refuse('jti was used before');
    this.used.add(payload.jti);
    if (!(Math.abs(Date.now() / 1000 - payload.iat) <= OLDEST_PROOF)) refuse('iat is of another time');
    if (this.nonces.length && !this.nonces.includes(payload.nonce)) {
      throw new Refusal('use_dpop_nonce', 'another nonce is needed');
    }
    return calculateJwkThumbprint(jwk);
  }

  #judgeLogin({ extra = {} }) {
    const { acr_values: acrValues, max_age: maxAge } = this.login;
    const error = 'insufficient_user_authentication';
    if (acrValues && !acrValues.split(' ').includes(extra.acr)) {
      throw new Refusal(error, 'a stronger login is needed', { acr_values: acrValues });
    }
    if (maxAge !== undefined && !(Date.now() / 1000 - extra.auth_time < maxAge + 1)) {
      throw new Refusal(error, 'a fresher login is needed', { max_age: maxAge });
    }
  }
}

export function thumbprintOf(req) {
  const certificate = req.socket.getPeerX509Certificate?.();
  return certificate && crypto.hash('sha256', certificate.raw, 'base64url');
}
