// A certified OpenID provider on a port of this machine. What it is to be comes as one line of JSON on
// standard input; it answers with its port on standard output, and ends when its standard input does, so
// also when the test is killed.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

// Nobody reads standard output after the port.
console.info = console.error;

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit());
const settings = await new Promise((resolve) => lines.once('line', (line) => resolve(JSON.parse(line))));

// The file outlives a restart.
function keys() {
  if (!existsSync(settings.keyFile)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: settings.keyId };
    writeFileSync(settings.keyFile, JSON.stringify({ keys: [key] }), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(settings.keyFile));
}

const machine = (client_id) => ({
  client_id,
  client_secret: settings.clientSecret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const hamctl = {
  client_id: 'hamctl',
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  redirect_uris: [],
  response_types: [],
};

const resourceServer = {
  scope: 'release_artifact release_daemon',
  audience: settings.audience,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'RS256' } },
};

// After a restart, somebody else may have the port for a moment.
const server = createServer();
const listen = () => server.listen(settings.port, '127.0.0.1');
server.on('error', () => setTimeout(listen, 100));
await new Promise((resolve) => server.once('listening', resolve) && listen());
const { port } = server.address();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [hamctl, machine('artifact'), machine('daemon')],
  jwks: keys(),
  cookies: { keys: [settings.clientSecret] },
  routes: {
    token: '/v1/token',
    device_authorization: '/v1/device/authorize',
    jwks: '/v1/keys',
    revocation: '/v1/revoke',
    code_verification: '/device',
  },
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of the tests`, email: `${id}@example.com` }),
  }),
  ttl: {
    AccessToken: settings.accessTokenSeconds,
    ClientCredentials: settings.accessTokenSeconds,
    DeviceCode: settings.deviceCodeSeconds,
    Grant: 3600,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: 3600,
    Session: 3600,
  },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => `https://${settings.audience}.example.com`,
      useGrantedResource: () => true,
      getResourceServerInfo: () => resourceServer,
    },
  },
});
server.on('request', provider.callback());
console.log(port);
