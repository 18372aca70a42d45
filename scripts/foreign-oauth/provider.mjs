// oidc-provider as an issuer that is not ours: for machine clients, with signed tokens in several algorithms and with
// opaque ones. usage: provider.mjs PORT SECRET; scripts/foreign-oauth.py runs it.

import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const [, , port, secret] = process.argv;
const algorithms = ["RS256", "RS512", "PS256", "ES256", "ES384", "Ed25519"];

const keys = [];
for (const alg of algorithms) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await exportJWK(privateKey)), alg, use: "sig", kid: `k-${alg}` });
}

const machine = (id) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [...algorithms, "opaque", "api"].map(machine),
    jwks: { keys },
    scopes: ["read"],
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true },
        resourceIndicators: {
            enabled: true,
            getResourceServerInfo: (_, resource, client) => ({
                scope: "read",
                audience: resource,
                accessTokenFormat: algorithms.includes(client.clientId) ? "jwt" : "opaque",
                jwt: { sign: { alg: client.clientId } },
            }),
        },
    },
});
provider.listen(Number(port), "127.0.0.1");
