// A public client in a browser: authorization code with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1.1).
// Tokens are in variables: a storage would give them to every script that ever runs on this origin.
"use strict";

const CLIENT_ID = "statewise-page";
// What has to survive the way to the authorization endpoint and back; it is no credential by itself.
const PENDING = "statewise-page";

const element = (id) => document.getElementById(id);
const buttons = { login: element("login"), renew: element("renew"), logout: element("logout") };
const ask = element("call").querySelector("button");

let server; // RFC 8414
const ownUrl = () => `${server.issuer.replace(/\/+$/, "")}/page`;
let tokens = null;

function say(text, detail) {
  const item = document.createElement("li");
  item.textContent = text;
  if (detail !== undefined) {
    const block = document.createElement("pre");
    block.textContent = typeof detail === "string" ? detail : JSON.stringify(detail, null, 2);
    item.append(block);
  }
  element("log").append(item);
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const sha256 = async (text) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

// Claims are shown, not believed: whoever gets the token checks its signature.
function claims(token) {
  const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function hold(answer) {
  tokens = answer;
  element("claims").textContent = tokens ? JSON.stringify(claims(tokens.access_token), null, 2) : "none";
  buttons.login.disabled = tokens !== null;
  for (const button of [buttons.renew, buttons.logout, ask]) button.disabled = tokens === null;
}

// Gives the answer, or says why there is none.
async function post(url, parameters) {
  const response = await fetch(url, { method: "POST", body: new URLSearchParams(parameters) });
  const text = await response.text();
  if (response.ok) return text === "" ? {} : JSON.parse(text);
  say(`POST ${new URL(url).pathname} was answered ${response.status}`, text);
  // Only a refusal ends the login; a server that cannot answer now may be asked again.
  if (response.status === 400) hold(null);
  return null;
}

async function logIn() {
  const pending = { state: random(), verifier: random() };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: ownUrl(),
    state: pending.state,
    code_challenge: base64url(await sha256(pending.verifier)),
    code_challenge_method: "S256",
  });
  location.assign(url);
}

// The browser came back with a code or an error.
async function finish(query) {
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  // A code in the address would stay in the history.
  history.replaceState(null, "", location.pathname);
  // RFC 6749 §10.12, RFC 9207 §2.4: an answer that we did not ask for, or of another server.
  if (pending === null || query.get("state") !== pending.state || query.get("iss") !== server.issuer) {
    say("An answer came that this page did not ask for; it was thrown away");
    return;
  }
  if (query.has("error")) {
    say(`The login was refused: ${query.get("error")}`, query.get("error_description") ?? "");
    return;
  }
  const answer = await post(server.token_endpoint, {
    grant_type: "authorization_code",
    client_id: CLIENT_ID,
    redirect_uri: ownUrl(),
    code: query.get("code"),
    code_verifier: pending.verifier,
  });
  if (answer !== null) {
    hold(answer);
    say(`Logged in: a token for ${answer.expires_in} s and a refresh token`);
  }
}

async function renew() {
  const answer = await post(server.token_endpoint, {
    grant_type: "refresh_token",
    client_id: CLIENT_ID,
    refresh_token: tokens.refresh_token,
  });
  if (answer !== null) {
    hold(answer);
    say("Renewed: both tokens are new");
  }
}

async function logOut() {
  const answer = await post(server.revocation_endpoint, {
    client_id: CLIENT_ID,
    token: tokens.refresh_token,
  });
  if (answer !== null) {
    hold(null);
    say("Logged out: the login is over at the auth-service");
  }
}

async function call(event) {
  event.preventDefault();
  const path = new URL(element("path").value, location.origin);
  // The token is for this system only.
  if (path.origin !== location.origin) {
    say(`${path.origin} is another system: it does not get the token`);
    return;
  }
  const response = await fetch(path, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  say(`GET ${path.pathname} was answered ${response.status}`, await response.text());
}

async function start() {
  const response = await fetch(".well-known/oauth-authorization-server");
  if (!response.ok) throw new Error(`the auth-service answered ${response.status}`);
  server = await response.json();
  // Codes are sent to one address only. The issuer may be written in another way than browsers do.
  if (location.origin + location.pathname !== new URL(ownUrl()).href) {
    location.replace(ownUrl());
    return;
  }
  if (crypto.subtle === undefined) {
    throw new Error("browsers do cryptography only over https or on this machine");
  }
  buttons.login.disabled = false;
  const query = new URLSearchParams(location.search);
  if (query.has("code") || query.has("error")) await finish(query);
}

const shown = (action) => (event) => action(event).catch((error) => say(`It failed: ${error.message}`));
buttons.login.addEventListener("click", shown(logIn));
buttons.renew.addEventListener("click", shown(renew));
buttons.logout.addEventListener("click", shown(logOut));
element("call").addEventListener("submit", shown(call));
shown(start)();
