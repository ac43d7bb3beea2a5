// An OpenID provider and a protected API on loopback, started by ../oidc_provider.py.
//
// The provider is the certified `oidc-provider`; only what it leaves to its operator is written here:
// clients, storage, lifetimes, the password grant. Everything else is its own judgement, so a client that
// works against it does so for reasons that aren't ours.

import { createServer } from 'node:http';

import {
  answer, control, listen, loadProvider, readWhole, ready, urlsOf, wholeNumber,
} from './serving.mjs';
import { forget, MapAdapter } from './storage.mjs';

const { Provider, errors } = await loadProvider();

const USERNAME = 'alice';
const PASSWORD = 'x';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const DAY = 24 * 60 * 60;
const DEFAULT_TTL = {
  access: Number(process.env.OIDC_ACCESS_TTL ?? 3600),
  refresh: Number(process.env.OIDC_REFRESH_TTL ?? 14 * DAY),
};

const ttl = { ...DEFAULT_TTL };
const requests = { token: 0, api: 0 };

// --- Clients ---------------------------------------------------------------------------------------------

const USER_GRANTS = ['authorization_code', 'refresh_token', 'password', DEVICE_GRANT];

// As native clients: RFC 8252 §7.3 then allows any port of a loopback redirect URI, which a listener on an
// ephemeral port needs.
function client(id, secret, method) {
  return {
    client_id: id,
    ...(secret && { client_secret: secret }),
    token_endpoint_auth_method: method,
    application_type: 'native',
    grant_types: secret ? [...USER_GRANTS, 'client_credentials'] : USER_GRANTS,
    response_types: ['code'],
    redirect_uris: ['127.0.0.1', 'localhost', '[::1]'].flatMap(
      (host) => [`http://${host}/callback`, `http://${host}/oauth/done`],
    ),
  };
}

const clients = {
  basic: client('basic-client', 'plain-secret', 'client_secret_basic'),
  // Read without decoding, each of these characters breaks in its own way: ":" ends the id, "%s" is no
  // escape, "%41" is one, "+" becomes a space.
  special: client('special:client', '+/%s %41:&=?#"\'\\~@;,<>[]{}|^`$!*()-_.', 'client_secret_basic'),
  // The quiet case: unencoded it's well-formed, and read as another secret.
  plus: client('plus-client', 'one+two+three', 'client_secret_basic'),
  post: client('post-client', 'post-secret', 'client_secret_post'),
  public: client('public-client', undefined, 'none'),
};

// --- The provider ----------------------------------------------------------------------------------------

function createProvider(issuer) {
  const provider = new Provider(issuer, {
    adapter: MapAdapter,
    clients: Object.values(clients),
    cookies: { keys: ['only for tests'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    scopes: ['openid', 'offline_access', 'api', 'admin'],
    rotateRefreshToken: true,
    clockTolerance: 0, // 15 s by default: expired tokens would be taken that much longer
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    ttl: {
      AccessToken: () => ttl.access,
      ClientCredentials: () => ttl.access,
      RefreshToken: () => ttl.refresh,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 14 * DAY,
      IdToken: 3600,
      Interaction: 3600,
      Session: 14 * DAY,
    },
  });

  // Removed from OAuth 2.1, so the library leaves it out; servers that still have it answer like this.
  provider.registerGrantType('password', async (ctx) => {
    const { client: caller, params } = ctx.oidc;
    if (params.username !== USERNAME || params.password !== PASSWORD) {
      throw new errors.InvalidGrant('wrong username or password');
    }
    const grant = new provider.Grant({ accountId: USERNAME, clientId: caller.clientId });
    if (params.scope) grant.addOIDCScope(params.scope);
    const properties = {
      accountId: USERNAME,
      client: caller,
      expiresWithSession: false,
      grantId: await grant.save(),
      gty: 'password',
      scope: params.scope,
    };
    const accessToken = new provider.AccessToken(properties);
    ctx.body = {
      access_token: await accessToken.save(),
      expires_in: accessToken.expiration,
      refresh_token: await new provider.RefreshToken(properties).save(),
      scope: params.scope,
      token_type: accessToken.tokenType,
    };
  }, ['username', 'password', 'scope']);

  return provider;
}

// --- The protected API -----------------------------------------------------------------------------------

function refuse(res, status, error, parameters) {
  const text = Object.entries({ realm: 'api', ...parameters }).map(([key, value]) => `${key}="${value}"`);
  answer(res, status, { error }, { 'WWW-Authenticate': `Bearer ${text.join(', ')}` });
}

async function api(provider, req, res, path) {
  requests.api += 1;
  const body = await readWhole(req);
  const credentials = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '');
  if (!credentials) {
    refuse(res, 401, 'unauthorized', {}); // RFC 6750 §3.1: no error code where no token was sent
    return;
  }
  const token = await provider.AccessToken.find(credentials[1])
    ?? await provider.ClientCredentials.find(credentials[1]);
  if (!token) {
    const error = 'invalid_token';
    refuse(res, 401, error, { error, error_description: 'The access token is unknown, expired or revoked' });
  } else if (/^\/api\/admin(\/|$)/.test(path) && !token.scopes.has('admin')) {
    const error = 'insufficient_scope';
    refuse(res, 403, error, { error, scope: 'admin' });
  } else {
    answer(res, 200, { method: req.method, ...body });
  }
}

// --- Controls for tests ----------------------------------------------------------------------------------

function setTtl(kind) {
  return (query) => {
    ttl[kind] = wholeNumber(query, 'seconds', 1);
  };
}

const controls = {
  'POST /test/ttl': setTtl('access'),
  'POST /test/refresh-ttl': setTtl('refresh'),
  'POST /test/revoke-access-tokens': () => forget('AccessToken', 'ClientCredentials'),
  'POST /test/reset': () => {
    Object.assign(ttl, DEFAULT_TTL);
    Object.assign(requests, { token: 0, api: 0 });
  },
  'GET /test/token-requests': () => requests.token,
  'GET /test/api-requests': () => requests.api,
};

// --- Issuers with a path ---------------------------------------------------------------------------------

const MOUNTS = ['/openid', '/rfc8414/tenant'];
const METADATA = '/.well-known/openid-configuration';
const BEFORE_PATH = '/.well-known/oauth-authorization-server';

// The first has its metadata where OpenID has it, after the path, the second only where RFC 8414 §3.1 has it.
function mountOf(url) {
  const [openid, rfc8414] = MOUNTS;
  if (url.pathname === BEFORE_PATH + rfc8414) return [rfc8414, METADATA];
  const mount = MOUNTS.find((path) => url.pathname.startsWith(`${path}/`));
  const inner = mount && url.pathname.slice(mount.length) + url.search;
  const isElsewhere = inner?.startsWith('/.well-known/') && !(mount === openid && inner === METADATA);
  return isElsewhere ? [] : [mount, inner];
}

// --- Start -----------------------------------------------------------------------------------------------

const server = createServer();
const issuer = await listen(server);
const provider = createProvider(issuer);
const oidc = provider.callback();
const mounted = Object.fromEntries(MOUNTS.map((path) => [path, createProvider(issuer + path).callback()]));

server.on('request', (req, res) => {
  const url = new URL(req.url, issuer);
  const [mount, inner] = mountOf(url);
  if ((inner ?? url.pathname) === '/token' && req.method === 'POST') requests.token += 1;
  if (control(controls, req, res, url)) return;
  if (/^\/api(\/|$)/.test(url.pathname)) {
    api(provider, req, res, url.pathname).catch((error) => {
      console.error(error); // most often a client that went away while sending its body
      res.destroy();
    });
  } else if (mount) {
    req.originalUrl = mount + inner; // as Express and Connect have it, from which oidc-provider tells its mount
    req.url = inner;
    mounted[mount](req, res);
  } else {
    oidc(req, res);
  }
});

const credentials = Object.fromEntries(Object.entries(clients).map(
  ([name, { client_id, client_secret = null }]) => [name, { client_id, client_secret }],
));
ready({
  controls: issuer,
  urls: {
    issuer,
    openid_issuer: `${issuer}/openid`,
    rfc8414_issuer: `${issuer}/rfc8414/tenant`,
    api_url: `${issuer}/api`,
    ...urlsOf(provider),
  },
  clients: credentials,
  username: USERNAME,
  password: PASSWORD,
});
