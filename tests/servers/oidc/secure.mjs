// An OpenID provider with the security profile on, and two protected APIs, started by ../secure_provider.py.
//
// The provider is the certified `oidc-provider`. Written here is what it leaves to its operator: clients, whose keys
// come in SECURE_SETUP, logins, which are approved at once, and two grants. With `tls` in the setup it has https and
// asks for certificates at `mtls_endpoint_aliases`.

import * as crypto from 'node:crypto';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';

import { createLocalJWKSet, jwtVerify } from 'jose';

import ServerChallenge from './node_modules/oidc-provider/lib/helpers/challenge.js';
import validateDpop from './node_modules/oidc-provider/lib/helpers/validate_dpop.js';
import instance from './node_modules/oidc-provider/lib/helpers/weak_cache.js';
import { approve } from './approval.mjs';
import {
  give, refuseNext, refuseNoMore, replaceAnswer, takeRefusal,
} from './faults.mjs';
import { ALGORITHMS, ProtectedApi, thumbprintOf } from './protected_api.mjs';
import {
  answer, control, listen, loadProvider, ready, urlsOf, wholeNumber,
} from './serving.mjs';
import { forget, MapAdapter } from './storage.mjs';

const { Provider, errors } = await loadProvider();

const setup = JSON.parse(process.env.SECURE_SETUP);
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const DAY = 24 * 60 * 60;
const SCOPES = ['openid', 'offline_access', 'api', 'admin'];
const ROUTES = {
  device_authorization: '/device/auth',
  introspection: '/token/introspection',
  pushed_authorization_request: '/request',
  revocation: '/token/revocation',
  token: '/token',
  userinfo: '/me',
};
const RESOURCES = ['https://one.example', 'https://two.example'];
const ACR_VALUES = ['password', 'phishing-resistant'];

// --- The clock -------------------------------------------------------------------------------------------

let ahead = 0; // milliseconds
const RealDate = Date;
globalThis.Date = class Date extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [RealDate.now() + ahead]));
  }

  static now() { return RealDate.now() + ahead; }
};

// --- Clients ---------------------------------------------------------------------------------------------

function client(id, method, properties = {}) {
  const isPublic = method === 'none';
  return {
    client_id: id,
    token_endpoint_auth_method: method,
    application_type: 'native', // RFC 8252 section 7.3 then allows any port of a loopback redirect URI
    grant_types: [
      'authorization_code', 'refresh_token', DEVICE, ...(isPublic ? [] : ['client_credentials', EXCHANGE, JWT_BEARER]),
    ],
    authorization_details_types: ['payment'],
    response_types: ['code'],
    redirect_uris: ['127.0.0.1', 'localhost'].map((host) => `http://${host}/callback`),
    ...properties,
  };
}

const signs = { token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: setup.keys } };
const bound = { tls_client_certificate_bound_access_tokens: true };
const clients = {
  key: client('key-client', 'private_key_jwt', signs),
  fapi: client('fapi-client', 'private_key_jwt', {
    ...signs, dpop_bound_access_tokens: true, require_pushed_authorization_requests: true,
  }),
  signing: client('signing-client', 'private_key_jwt', {
    ...signs, require_signed_request_object: true, request_object_signing_alg: 'ES256',
  }),
  pushing: client('pushing-client', 'private_key_jwt', { ...signs, require_pushed_authorization_requests: true }),
  secret_jwt: client('secret-client', 'client_secret_jwt', { client_secret: setup.secret }),
  post: client('post-client', 'client_secret_post', { client_secret: setup.secret }),
  public: client('public-client', 'none', { dpop_bound_access_tokens: true }),
  ...(setup.tls && {
    tls: client('tls-client', 'tls_client_auth', { ...bound, tls_client_auth_subject_dn: setup.tls.subject }),
    fapi_tls: client('fapi-tls-client', 'tls_client_auth', {
      ...bound, tls_client_auth_subject_dn: setup.tls.subject, require_pushed_authorization_requests: true,
    }),
    self_signed: client('self-signed-client', 'self_signed_tls_client_auth', {
      ...bound, jwks: { keys: setup.tls.self_signed },
    }),
    public_tls: client('public-tls-client', 'none', bound),
  }),
};
const isFapi = (known) => /^fapi-/.test(known?.clientId ?? '');

// --- The provider ----------------------------------------------------------------------------------------

const state = {};

// A person who is as strongly logged in as was asked for, or no more than the test allows.
function acrOf({ acr_values: wanted = '' }) {
  if (state.strongest !== undefined) return state.strongest;
  return wanted.split(' ').find((value) => ACR_VALUES.includes(value)) ?? ACR_VALUES[0];
}

const whatIsBound = (ctx) => ctx.oidc.entities.AuthorizationCode ?? ctx.oidc.entities.RefreshToken;

// Which endpoint each call was of, and what was sent; filled in by the provider when it has read the body.
const calls = [];
const callOf = new WeakMap();

function createProvider(issuer, origin) {
  const provider = new Provider(issuer, {
    acrValues: ACR_VALUES,
    adapter: MapAdapter,
    clientAuthMethods: [
      'none', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    clients: Object.values(clients),
    clockTolerance: 0,
    cookies: { keys: ['only for tests'] },
    discovery: origin && {
      mtls_endpoint_aliases: Object.fromEntries(
        Object.entries(ROUTES).map(([name, path]) => [`${name}_endpoint`, origin + path]),
      ),
    },
    enabledJWA: { dPoPSigningAlgValues: ALGORITHMS },
    expiresWithSession: () => false,
    extraTokenClaims: (ctx) => {
      const { acr, authTime } = whatIsBound(ctx) ?? {};
      return acr && { acr, auth_time: authTime };
    },
    features: {
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      dPoP: { enabled: true, nonceSecret: crypto.randomBytes(32), requireNonce: () => state.requiresNonce },
      fapi: { enabled: true, profile: (_ctx, known) => (isFapi(known) ? '2.0' : undefined) },
      introspection: { enabled: true },
      mTLS: {
        enabled: true,
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateBoundAccessTokens: true,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn'
          && ctx.socket.getPeerX509Certificate().subject.split('\n').reverse().join(',') === expected,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
      },
      pushedAuthorizationRequests: { enabled: true },
      requestObjects: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf?.[0],
        getResourceServerInfo: (_ctx, indicator) => {
          if (!RESOURCES.includes(indicator)) throw new errors.InvalidTarget();
          return { accessTokenFormat: 'opaque', audience: indicator, scope: SCOPES.join(' ') };
        },
        useGrantedResource: () => true,
      },
      revocation: { enabled: true },
      richAuthorizationRequests: {
        enabled: true,
        authorizationDetailsForAccessToken: (ctx, _token, source) => (
          ctx.oidc.params.authorization_details ? JSON.parse(ctx.oidc.params.authorization_details) : source?.rar),
        authorizationDetailsForGrantSource: (ctx) => (
          ctx.oidc.params.authorization_details && JSON.parse(ctx.oidc.params.authorization_details)),
        authorizationDetailsForIntrospection: (_ctx, token) => token.rar,
        types: {
          payment: {
            validate: (_ctx, detail) => {
              if (detail.amount === undefined) throw new errors.InvalidAuthorizationDetails('amount is missing');
            },
          },
        },
      },
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: (_ctx, known) => known.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: (ctx) => !isFapi(ctx.oidc.client),
    routes: ROUTES,
    scopes: SCOPES,
    ttl: {
      AccessToken: () => state.ttl,
      ClientCredentials: () => state.ttl,
      RefreshToken: () => 14 * DAY,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 14 * DAY,
      IdToken: 3600,
      Interaction: 3600,
      PushedAuthorizationRequest: 60,
      Session: 14 * DAY,
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    Object.assign(callOf.get(ctx.req), { client_id: ctx.oidc?.client?.clientId, fields: ctx.oidc?.body });
  });
  provider.registerGrantType(EXCHANGE, (ctx) => exchange(provider, ctx), [
    'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'audience', 'resource', 'scope',
    'requested_token_type',
  ]);
  provider.registerGrantType(JWT_BEARER, (ctx) => takeAssertion(provider, ctx), ['assertion', 'scope']);
  return provider;
}

// Issue a token that stands for somebody to the calling client, bound to what the call proves.
async function issue(provider, ctx, accountId, more) {
  const dPoP = await validateDpop(provider, ctx);
  const { client: caller, params: { scope = 'api' } } = ctx.oidc;
  const grant = new provider.Grant({ accountId, clientId: caller.clientId });
  grant.addOIDCScope(scope);
  const token = new provider.AccessToken({ accountId, client: caller, grantId: await grant.save(), scope });
  if (dPoP) token.setThumbprint('jkt', dPoP.thumbprint);
  if (caller.tlsClientCertificateBoundAccessTokens) token.setThumbprint('x5t', ctx.socket.getPeerX509Certificate());
  ctx.body = {
    access_token: await token.save(), expires_in: token.expiration, scope, token_type: token.tokenType, ...more,
  };
}

async function findToken(provider, token) {
  return await provider.AccessToken.find(token) ?? provider.ClientCredentials.find(token);
}

async function exchange(provider, ctx) {
  const { subject_token: subject, subject_token_type: type } = ctx.oidc.params;
  const token = type === ACCESS_TOKEN && await findToken(provider, subject);
  // RFC 8693 section 2.2.2: an invalid subject token is an invalid request
  if (!token) throw new errors.InvalidRequest('the subject token is unknown, expired, revoked or of another kind');
  await issue(provider, ctx, token.accountId ?? token.clientId, { issued_token_type: ACCESS_TOKEN });
}

async function takeAssertion(provider, ctx) {
  let payload;
  try {
    ({ payload } = await jwtVerify(ctx.oidc.params.assertion, createLocalJWKSet({ keys: setup.keys }), {
      audience: provider.issuer, requiredClaims: ['iss', 'sub', 'exp', 'jti'],
    }));
  } catch (error) {
    throw new errors.InvalidGrant(String(error));
  }
  if (!await provider.ReplayDetection.unique(payload.iss, payload.jti, payload.exp)) {
    throw new errors.InvalidGrant('the assertion was used before');
  }
  await issue(provider, ctx, payload.sub);
}

// --- Start -----------------------------------------------------------------------------------------------

const { tls } = setup;
const front = tls ? createHttps({ key: tls.key, cert: tls.certificate }) : createHttp();
const other = tls ? createHttps({ key: tls.key, cert: tls.certificate }) : createHttp();
const certified = tls && createHttps({
  key: tls.key, cert: tls.certificate, ca: tls.ca, requestCert: true, rejectUnauthorized: false,
});
const scheme = tls ? 'https' : 'http';
const [issuer, otherOrigin, certifiedOrigin] = await Promise.all(
  [front, other, certified].map((server) => server && listen(server, scheme)),
);
const provider = createProvider(issuer, certifiedOrigin);
const handle = provider.callback();
const apis = { api: new ProtectedApi((token) => findToken(provider, token)) };
apis.other_api = new ProtectedApi((token) => findToken(provider, token));

function turnServerNonce() {
  instance(provider).DPoPNonces = new ServerChallenge(crypto.randomBytes(32), 'DPoP');
}

function reset() {
  ahead = 0;
  Object.assign(state, { requiresNonce: false, strongest: undefined, ttl: 3600 });
  calls.length = 0;
  refuseNoMore();
  Object.values(apis).forEach((api) => api.reset());
  turnServerNonce();
}
reset();

const apiOf = (query) => {
  const name = query.get('at');
  if (!(name in apis)) throw new RangeError(`at: ${Object.keys(apis).join(' or ')}`);
  return apis[name];
};
const controls = {
  'GET /test/calls': () => calls,
  'GET /test/api-requests': (query) => apiOf(query).requests,
  'POST /test/clock': (query) => { ahead = Number(query.get('ahead')) * 1000; },
  'POST /test/login-wanted': (query) => {
    const age = query.get('max_age');
    apiOf(query).login = { acr_values: query.get('acr_values'), max_age: age === null ? undefined : Number(age) };
  },
  'POST /test/order': (query) => { apiOf(query).looksAtProofFirst = query.get('first') === 'proof'; },
  'POST /test/refuse': refuseNext,
  'POST /test/reset': reset,
  'POST /test/revoke-access-tokens': () => forget('AccessToken', 'ClientCredentials'),
  'POST /test/server-nonces': (query) => {
    state.requiresNonce = query.get('mode') === 'required';
    if (query.get('mode') === 'none') instance(provider).DPoPNonces = undefined;
    else turnServerNonce();
  },
  'POST /test/strongest-login': (query) => { state.strongest = query.get('acr') ?? undefined; },
  'POST /test/ttl': (query) => { state.ttl = wholeNumber(query, 'seconds', 1); },
  'POST /test/turn-nonce': (query) => apiOf(query).turnNonce(query.get('keep') === 'true'),
};

async function serve(req, res, server) {
  res.setHeader('Date', new Date().toUTCString()); // Node's own goes by the machine's clock
  const url = new URL(req.url, `${scheme}://${req.headers.host}`);
  if (/^\/api(\/|$)/.test(url.pathname)) {
    const name = server === other ? 'other_api' : 'api';
    await apis[name].handle(req, res, url, takeRefusal(name));
  } else if (url.pathname.startsWith('/interaction/')) {
    await approve(provider, req, res, (params) => ({ acr: acrOf(params) }));
  } else {
    const [place] = Object.entries(ROUTES).find(([, path]) => path === url.pathname) ?? [url.pathname];
    const call = { place, url: url.origin + url.pathname, proof: req.headers.dpop, certificate: thumbprintOf(req) };
    calls.push(call);
    callOf.set(req, call);
    const refusal = takeRefusal(place);
    if (refusal && !refusal.isHandled) {
      req.resume().on('end', () => give(res, refusal));
      return;
    }
    if (refusal) replaceAnswer(res, refusal);
    handle(req, res);
  }
}

for (const server of [front, other, certified].filter(Boolean)) {
  server.on('request', (req, res) => {
    serve(req, res, server).catch((error) => {
      console.error(error); // most often a client that went away while sending its body
      res.destroy();
    });
  });
}

const controlling = createHttp((req, res) => {
  if (!control(controls, req, res, new URL(req.url, 'http://127.0.0.1'))) answer(res, 404, null);
});
ready({
  controls: await listen(controlling),
  urls: {
    issuer,
    ...urlsOf(provider),
    pushed_authorization_request_url: provider.urlFor('pushed_authorization_request'),
    api_url: `${issuer}/api`,
    other_api_url: `${otherOrigin}/api`,
    ...(tls && { certified_api_url: `${certifiedOrigin}/api`, certified_url: certifiedOrigin }),
  },
  clients: Object.fromEntries(Object.entries(clients).map(([name, { client_id: id }]) => [name, id])),
});
