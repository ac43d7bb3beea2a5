// An MCP server made with the TypeScript SDK, started by ../mcp_servers.py.
//
// Only what the SDK leaves to its operator is written here: where clients and tokens are kept, who may log in, and
// that a tool wants more scope than the rest.

import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

import {
  InvalidGrantError, InvalidScopeError, InvalidTokenError,
} from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

import {
  control, exitWithStdin, listen, ready, wholeNumber,
} from '../oidc/serving.mjs';

const BASIC = 'basic';
const ADMIN = 'admin';
const LIFETIME = 3600;

let lifetime = LIFETIME;
const clients = new Map();
const codes = new Map();
const accessTokens = new Map();
const refreshTokens = new Map();
const calls = {};

const secret = () => randomBytes(32).toString('base64url');

// --- The provider ----------------------------------------------------------------------------------------

function take(items, id, client) {
  const item = items.get(id);
  if (item?.clientId !== client.client_id) throw new InvalidGrantError('unknown, used before, or of another client');
  return item;
}

function issue(basis, scopes) {
  const access = secret();
  const refresh = secret();
  accessTokens.set(access, { ...basis, scopes, expiresAt: Date.now() / 1000 + lifetime });
  refreshTokens.set(refresh, basis);
  return {
    access_token: access, expires_in: lifetime, refresh_token: refresh, scope: scopes.join(' '), token_type: 'Bearer',
  };
}

// Whoever comes is logged in, and agrees to all. Refresh tokens rotate.
const provider = {
  clientsStore: {
    getClient: (id) => clients.get(id),
    registerClient: (client) => {
      clients.set(client.client_id, client);
      return client;
    },
  },

  async authorize(client, params, res) {
    const code = secret();
    const { codeChallenge, resource } = params;
    const scopes = params.scopes.length ? params.scopes : [BASIC];
    codes.set(code, { clientId: client.client_id, codeChallenge, resource, scopes });
    const target = new URL(params.redirectUri);
    target.searchParams.set('code', code);
    if (params.state !== undefined) target.searchParams.set('state', params.state);
    res.redirect(target.href);
  },

  async challengeForAuthorizationCode(client, code) { return take(codes, code, client).codeChallenge; },

  async exchangeAuthorizationCode(client, code) {
    const { clientId, resource, scopes } = take(codes, code, client);
    codes.delete(code);
    return issue({ clientId, resource, scopes }, scopes);
  },

  async exchangeRefreshToken(client, token, scopes) {
    const basis = take(refreshTokens, token, client);
    if (scopes?.some((scope) => !basis.scopes.includes(scope))) throw new InvalidScopeError('more than was granted');
    refreshTokens.delete(token);
    return issue(basis, scopes ?? basis.scopes);
  },

  async verifyAccessToken(token) {
    const found = accessTokens.get(token);
    if (!found) throw new InvalidTokenError('unknown or revoked');
    return { token, ...found };
  },

  async revokeToken(_client, { token }) {
    accessTokens.delete(token);
    refreshTokens.delete(token);
  },
};

// --- The MCP server --------------------------------------------------------------------------------------

function createMcpServer() {
  const server = new McpServer({ name: 'greeter', version: '1.0.0' });
  const say = (text) => async () => ({ content: [{ type: 'text', text }] });
  server.registerTool('greet', { description: 'Return a greeting.' }, say('Hello, Alice'));
  server.registerTool('administer', { description: 'Return what only administrators see.' }, say('secrets'));
  const name = { type: 'string' };
  const question = {
    message: 'Who are you?', requestedSchema: { type: 'object', properties: { name }, required: ['name'] },
  };
  server.registerTool('ask', { description: 'Ask for a name, within the answer.' }, async ({ requestId }) => {
    const told = await server.server.elicitInput(question, { relatedRequestId: requestId });
    return say(`Hello, ${told.content.name}`)();
  });
  server.registerTool('announce', { description: "Tell on the session's own stream of other tools." }, async () => {
    await server.server.sendToolListChanged();
    return say('announced')();
  });
  server.registerTool('outlast', { description: 'Answer when the token of the call has expired.' }, async () => {
    await setTimeout(1000 * lifetime);
    return say('outlasted')();
  });
  return server;
}

const transports = new Map(); // by the id of their session

async function transportOf(req) {
  const id = req.headers['mcp-session-id'];
  if (id !== undefined) return transports.get(id);
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (session) => transports.set(session, transport),
  });
  await createMcpServer().connect(transport);
  return transport;
}

// --- Start -----------------------------------------------------------------------------------------------

exitWithStdin();
const server = createServer();
const origin = await listen(server);
const url = new URL('/mcp', origin);
const unlimited = { rateLimit: false };
const guardOf = (...requiredScopes) => requireBearerAuth({
  verifier: provider,
  requiredScopes,
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(url),
  expectedResource: url,
});
const guards = { basic: guardOf(BASIC), admin: guardOf(BASIC, ADMIN) };

const app = createMcpExpressApp();
app.use(mcpAuthRouter({
  provider,
  issuerUrl: new URL(origin),
  resourceServerUrl: url,
  scopesSupported: [BASIC, ADMIN],
  authorizationOptions: unlimited,
  clientRegistrationOptions: unlimited,
  revocationOptions: unlimited,
  tokenOptions: unlimited,
}));
app.use('/mcp', (req, res, next) => {
  const isAdmin = req.body?.method === 'tools/call' && req.body.params.name === 'administer';
  guards[isAdmin ? 'admin' : 'basic'](req, res, next);
});
app.all('/mcp', async (req, res) => {
  const transport = await transportOf(req);
  if (transport) {
    await transport.handleRequest(req, res, req.body);
  } else {
    res.status(404).json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null });
  }
});

const places = { '/register': 'registration', '/authorize': 'authorization', '/token': 'token', '/mcp': 'resource' };
const controls = {
  'GET /test/calls': () => calls,
  'POST /test/forget-clients': () => clients.clear(),
  'POST /test/reset': () => {
    lifetime = LIFETIME;
    Object.keys(calls).forEach((place) => delete calls[place]);
  },
  'POST /test/revoke-access-tokens': () => accessTokens.clear(),
  'POST /test/ttl': (query) => { lifetime = wholeNumber(query, 'seconds', 1); },
};

server.on('request', (req, res) => {
  const requested = new URL(req.url, origin);
  if (control(controls, req, res, requested)) return;
  const place = requested.pathname.startsWith('/.well-known/') ? 'metadata' : places[requested.pathname];
  if (place) calls[place] = (calls[place] ?? 0) + 1;
  app(req, res);
});
ready({ controls: origin, urls: { url: url.href, issuer: `${origin}/` } });
