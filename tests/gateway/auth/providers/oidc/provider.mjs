// A certified OpenID Connect provider with one client, for tests: node provider.mjs PORT REDIRECT_URI SECRET.
// Any login name signs in; NAME@... is its address, verified unless the name begins with "unverified".
import Provider from "oidc-provider";

const [port, redirect, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "scopekit",
      client_secret: secret,
      redirect_uris: [redirect],
      post_logout_redirect_uris: [new URL("/", redirect).href],
    },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["of-the-test"] },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified"), name: id.split("@")[0] }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
