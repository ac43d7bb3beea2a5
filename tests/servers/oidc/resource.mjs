// An OpenID provider at which clients register themselves, and an API of another origin that says so, started by
// ../resource_provider.py.
//
// The provider is the certified `oidc-provider`. Written here is what it leaves to its operator: which resources there
// are, logins, which are approved at once, and a client's metadata document, which it would fetch from the Internet.

import { createServer } from 'node:http';

import { approve } from './approval.mjs';
import {
  answer, control, listen, loadProvider, readWhole, ready, urlsOf, wholeNumber,
} from './serving.mjs';
import { forget, MapAdapter } from './storage.mjs';

const { Provider, errors } = await loadProvider();

const DAY = 24 * 60 * 60;
const BASIC = 'basic';
const ADMIN = 'admin';
const RESOURCES = ['/v1', '/v2'];
const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const ACR_VALUES = ['password', 'phishing-resistant'];
const CLIENT_METADATA_URL = 'https://client.example/oauth.json';

const state = {};
function reset() {
  Object.assign(state, { calls: {}, login: {}, ttl: 3600 });
}
reset();

function count(place) {
  if (place) state.calls[place] = (state.calls[place] ?? 0) + 1;
}

// --- The provider ----------------------------------------------------------------------------------------

const clientMetadata = {
  client_id: CLIENT_METADATA_URL,
  client_name: 'A program with a document',
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  redirect_uris: ['127.0.0.1', 'localhost'].map((host) => `http://${host}/callback`),
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
};

function createProvider(issuer, resources) {
  const isLastingLogin = (client, source) => client.grantTypeAllowed('refresh_token') && source.scopes.has('offline_access');
  return new Provider(issuer, {
    acrValues: ACR_VALUES,
    adapter: MapAdapter,
    clients: [{
      client_id: 'service',
      client_secret: 'service-secret',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    }],
    clockTolerance: 0,
    cookies: { keys: ['only for tests'] },
    expiresWithSession: () => false,
    extraTokenClaims: (ctx) => {
      const { acr, authTime } = ctx.oidc.entities.AuthorizationCode ?? ctx.oidc.entities.RefreshToken ?? {};
      return acr && { acr, auth_time: authTime };
    },
    features: {
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { ack: 'draft-02', enabled: true },
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator) => {
          if (!resources.includes(indicator)) throw new errors.InvalidTarget();
          return { accessTokenFormat: 'opaque', audience: indicator, scope: `${BASIC} ${ADMIN}` };
        },
      },
      revocation: { enabled: true },
    },
    fetch: (url) => Promise.resolve(
      String(url) === CLIENT_METADATA_URL ? Response.json(clientMetadata) : new Response(null, { status: 404 }),
    ),
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: (_ctx, client, source) => isLastingLogin(client, source),
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access', BASIC, ADMIN],
    ttl: {
      AccessToken: () => state.ttl,
      ClientCredentials: () => state.ttl,
      RefreshToken: 14 * DAY,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 14 * DAY,
      IdToken: 3600,
      Interaction: 3600,
      Session: 14 * DAY,
    },
  });
}

function loginOf({ acr_values: wanted = '' }) {
  return { acr: wanted.split(' ').find((value) => ACR_VALUES.includes(value)) ?? ACR_VALUES[0] };
}

// --- The API ---------------------------------------------------------------------------------------------

function refuse(res, status, metadata, parameters) {
  const text = Object.entries({ ...parameters, resource_metadata: metadata })
    .map(([name, value]) => `${name}="${value}"`).join(', ');
  answer(res, status, { error: parameters.error ?? 'unauthorized' }, { 'WWW-Authenticate': `Bearer ${text}` });
}

// RFC 9470 section 3: what of a login isn't as it should be.
function shortcomingsOf({ extra = {} }) {
  const { acr_values: acrValues, max_age: maxAge } = state.login;
  return {
    ...(acrValues && !acrValues.split(' ').includes(extra.acr) && { acr_values: acrValues }),
    ...(maxAge !== undefined && !(Date.now() / 1000 - extra.auth_time < maxAge + 1) && { max_age: maxAge }),
  };
}

async function api(provider, origin, req, res, path) {
  const resource = RESOURCES.find((root) => path === root || path.startsWith(`${root}/`));
  const body = await readWhole(req);
  if (!resource) {
    answer(res, 404, null);
    return;
  }
  const metadata = origin + WELL_KNOWN + resource;
  const credentials = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '');
  if (!credentials) {
    refuse(res, 401, metadata, {}); // RFC 6750 section 3.1: no error code where no token was sent
    return;
  }
  const token = await provider.AccessToken.find(credentials[1])
    ?? await provider.ClientCredentials.find(credentials[1]);
  const wanted = path.startsWith(`${resource}/admin`) ? ADMIN : BASIC;
  const shortcomings = token ? shortcomingsOf(token) : {};
  if (token?.aud !== origin + resource) {
    refuse(res, 401, metadata, { error: 'invalid_token' });
  } else if (!token.scopes.has(wanted)) {
    refuse(res, 403, metadata, { error: 'insufficient_scope', scope: wanted });
  } else if (Object.keys(shortcomings).length > 0) {
    refuse(res, 401, metadata, { error: 'insufficient_user_authentication', ...shortcomings });
  } else {
    answer(res, 200, { method: req.method, ...body });
  }
}

// --- Start -----------------------------------------------------------------------------------------------

const front = createServer();
const apiServer = createServer();
const [issuer, apiOrigin] = await Promise.all([listen(front), listen(apiServer)]);
const provider = createProvider(issuer, RESOURCES.map((path) => apiOrigin + path));
const handle = provider.callback();

const places = { '/reg': 'registration', '/auth': 'authorization', '/token': 'token' };
const controls = {
  'GET /test/calls': () => state.calls,
  'POST /test/forget-clients': () => forget('Client'),
  'POST /test/login-wanted': (query) => {
    const age = query.get('max_age');
    state.login = { acr_values: query.get('acr_values'), max_age: age === null ? undefined : Number(age) };
  },
  'POST /test/reset': reset,
  'POST /test/revoke-access-tokens': () => forget('AccessToken', 'ClientCredentials'),
  'POST /test/ttl': (query) => { state.ttl = wholeNumber(query, 'seconds', 1); },
};

function serve(server, respond) {
  server.on('request', (req, res) => {
    Promise.resolve(respond(req, res, new URL(req.url, 'http://127.0.0.1').pathname)).catch((error) => {
      console.error(error); // most often a client that went away while sending its body
      res.destroy();
    });
  });
}

serve(front, (req, res, path) => {
  if (control(controls, req, res, new URL(req.url, issuer))) return undefined;
  if (path.startsWith('/interaction/')) return approve(provider, req, res, loginOf);
  count(path.startsWith('/.well-known/') ? 'metadata' : places[path]);
  return handle(req, res);
});

serve(apiServer, (req, res, path) => {
  const described = RESOURCES.find((resource) => path === WELL_KNOWN + resource);
  const isMetadata = path.startsWith('/.well-known/');
  count(isMetadata ? 'metadata' : 'resource');
  if (!isMetadata) return api(provider, apiOrigin, req, res, path);
  if (!described) return answer(res, 404, null);
  return answer(res, 200, {
    resource: apiOrigin + described, authorization_servers: [issuer], scopes_supported: [BASIC, ADMIN],
  });
});

ready({
  controls: issuer,
  urls: {
    issuer,
    ...urlsOf(provider, ['authorization', 'token', 'device_authorization', 'revocation']),
    url: `${apiOrigin}/v1`,
    other_url: `${apiOrigin}/v2`,
    client_metadata_url: CLIENT_METADATA_URL,
  },
  service: { client_id: 'service', client_secret: 'service-secret' },
});
