// Logs a user in, calls the APIs, renews and revokes, with client libraries that are not ours.
// usage: clients.mjs SETTINGS   (JSON: issuer, apis, web, app, user); scripts/foreign-oauth.py runs it.
// Writes a line of JSON for each step: {"library", "step", "fault"}; fault is null where the step went well.

import * as jose from "jose";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import OAuth2Strategy from "passport-oauth2";

const { issuer, apis, web, app, user } = JSON.parse(process.argv[2]);
const insecure = { [oauth.allowInsecureRequests]: true };

// A step, its outcome as a line. What goes wrong ends the library's part.
async function step(library, name, act) {
    try {
        const result = await act();
        console.log(JSON.stringify({ library, step: name, fault: null }));
        return result;
    } catch (error) {
        const cause = error.cause ? ` (${JSON.stringify(error.cause.body ?? error.cause.message ?? error.cause)})` : "";
        console.log(JSON.stringify({ library, step: name, fault: `${error.name}: ${error.message}${cause}` }));
        throw error;
    }
}

function ensure(right, what) {
    if (!right) throw new Error(what);
}

// What a browser does: opens the form, fills it in, and is sent back to the client.
async function browse(url) {
    const form = await (await fetch(url)).text();
    const fields = new URLSearchParams(user);
    for (const [, name, value] of form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) {
        fields.set(name, value.replaceAll("&amp;", "&"));
    }
    const action = new URL("authorize", url);
    const answer = await fetch(action, { method: "POST", body: fields, redirect: "manual" });
    ensure(answer.status === 303, `the form was answered with ${answer.status}`);
    return new URL(answer.headers.get("location"));
}

async function call(token, status = 200) {
    for (const api of apis) {
        const answer = await fetch(api, { headers: { authorization: `Bearer ${token}` } });
        ensure(answer.status === status, `${api} answered ${answer.status}, not ${status}`);
        if (status === 200) {
            const me = await answer.json();
            ensure(me.username === user.username && me.roles.includes("user"), `${api}: ${JSON.stringify(me)}`);
        }
    }
}

// After a revocation only the API that asks knows.
async function isRevoked(token) {
    const asking = apis.find((api) => api.includes("introspection"));
    const answer = await fetch(asking, { headers: { authorization: `Bearer ${token}` } });
    ensure(answer.status === 401, `${asking} answered ${answer.status} to a revoked token`);
}

async function fails(act, what) {
    try {
        await act();
    } catch {
        return;
    }
    throw new Error(what);
}

// A web application with a secret, which looks where OpenID Connect has the metadata.
async function openidClient() {
    const name = "openid-client";
    const options = { execute: [client.allowInsecureRequests] };
    const config = await step(name, "discover", () =>
        client.discovery(new URL(issuer), web.id, web.secret, client.ClientSecretBasic(web.secret), options),
    );
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const tokens = await step(name, "log in", async () => {
        const url = client.buildAuthorizationUrl(config, {
            redirect_uri: web.redirect,
            scope: "openid profile roles offline_access",
            code_challenge: await client.calculatePKCECodeChallenge(verifier),
            code_challenge_method: "S256",
            state,
        });
        const back = await browse(url);
        const tokens = await client.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state });
        ensure(tokens.scope === "api profile roles", `granted was ${tokens.scope}`);
        return tokens;
    });
    await step(name, "call", () => call(tokens.access_token));
    const renewed = await step(name, "refresh", () => client.refreshTokenGrant(config, tokens.refresh_token));
    await step(name, "call again", () => call(renewed.access_token));
    await step(name, "revoke", async () => {
        await client.tokenRevocation(config, renewed.refresh_token);
        await isRevoked(renewed.access_token);
        await fails(() => client.refreshTokenGrant(config, renewed.refresh_token), "a revoked token was renewed");
    });
}

// An application on this machine without a secret, which looks where RFC 8414 §3.1 has the metadata, and which listens
// on a port that nobody knew beforehand.
async function oauth4webapi() {
    const name = "oauth4webapi";
    const own = { client_id: app.id };
    const none = oauth.None();
    const redirect = app.redirect.replace(/:\d+\//, ":51004/");
    const server = await step(name, "discover", async () => {
        const at = new URL(issuer);
        return oauth.processDiscoveryResponse(at, await oauth.discoveryRequest(at, { algorithm: "oauth2", ...insecure }));
    });
    const tokens = await step(name, "log in", async () => {
        const verifier = oauth.generateRandomCodeVerifier();
        const state = oauth.generateRandomState();
        const url = new URL(server.authorization_endpoint);
        url.search = new URLSearchParams({
            client_id: app.id,
            redirect_uri: redirect,
            response_type: "code",
            code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
            code_challenge_method: "S256",
            state,
        });
        const answer = oauth.validateAuthResponse(server, own, await browse(url), state);
        const response = await oauth.authorizationCodeGrantRequest(server, own, none, answer, redirect, verifier, insecure);
        return oauth.processAuthorizationCodeResponse(server, own, response);
    });
    await step(name, "call", () => call(tokens.access_token));
    const renew = async (token) => {
        const response = await oauth.refreshTokenGrantRequest(server, own, none, token, insecure);
        return oauth.processRefreshTokenResponse(server, own, response);
    };
    const renewed = await step(name, "refresh", () => renew(tokens.refresh_token));
    await step(name, "call again", () => call(renewed.access_token));
    await step(name, "verify", async () => {
        const request = new Request(apis[0], { headers: { authorization: `Bearer ${renewed.access_token}` } });
        const claims = await oauth.validateJwtAccessToken(server, request, "statewise-api", insecure);
        ensure(claims.roles.includes("user"), JSON.stringify(claims));
    });
    await step(name, "revoke", async () => {
        const response = await oauth.revocationRequest(server, own, none, renewed.refresh_token, insecure);
        await oauth.processRevocationResponse(response);
        await isRevoked(renewed.access_token);
        await fails(() => renew(renewed.refresh_token), "a revoked token was renewed");
    });
    return renewed.access_token;
}

// Verifies, as a resource server of somebody else would.
async function joseLibrary(token) {
    await step("jose", "verify", async () => {
        const keys = jose.createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
        const wanted = { issuer, audience: "statewise-api", typ: "at+jwt" };
        const { payload } = await jose.jwtVerify(token, keys, wanted);
        ensure(payload.client_id === app.id, JSON.stringify(payload));
        await fails(() => jose.jwtVerify(`${token.slice(0, -4)}AAAA`, keys, wanted), "a changed token was accepted");
    });
}

// A middleware, driven as Express would drive it; it sends its secret in the body.
async function passport() {
    const name = "passport-oauth2";
    const settings = {
        authorizationURL: `${issuer}/oauth/authorize`,
        tokenURL: `${issuer}/oauth/token`,
        clientID: web.id,
        clientSecret: web.secret,
        callbackURL: web.redirect,
        scope: ["profile", "roles"],
        pkce: true,
        state: true,
    };
    const strategy = new OAuth2Strategy(settings, (access, refresh, profile, done) => done(null, { access, refresh }));
    const session = {};
    const handled = (query) =>
        new Promise((resolve, reject) => {
            const one = Object.create(strategy);
            one.redirect = (url) => resolve({ url });
            one.success = (tokens) => resolve({ tokens });
            one.fail = (info, status) => reject(new Error(`fail ${JSON.stringify(info)} ${status}`));
            one.error = reject;
            one.authenticate({ query, session, headers: {}, connection: {} }, {});
        });
    const tokens = await step(name, "log in", async () => {
        const { url } = await handled({});
        const back = await browse(new URL(url));
        return (await handled(Object.fromEntries(back.searchParams))).tokens;
    });
    await step(name, "call", () => call(tokens.access));
    const renewed = await step(
        name,
        "refresh",
        () =>
            new Promise((resolve, reject) => {
                const given = (error, access) => (error ? reject(new Error(JSON.stringify(error))) : resolve(access));
                strategy._oauth2.getOAuthAccessToken(tokens.refresh, { grant_type: "refresh_token" }, given);
            }),
    );
    await step(name, "call again", () => call(renewed));
}

let failed = false;
let token = null;
for (const part of [openidClient, oauth4webapi, () => joseLibrary(token), passport]) {
    try {
        token = (await part()) ?? token;
    } catch {
        failed = true;
    }
}
process.exit(failed ? 1 : 0);
