// A certified provider of OpenID Connect, for the tests of signing in: one client, and people with claims.
//   node provider.mjs '{"redirect_uri": …, "people": {"ada": {"keyfold_role": "admin"}}, "in_token": true}'
// Its address is another site than that of Keyfold, at 127.0.0.1.
// Prints its address once it listens. Its pages take any password.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const asked = JSON.parse(process.argv[2]);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "keyfold",
        client_secret: "a-secret-of-the-tests",
        redirect_uris: [asked.redirect_uri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    claims: { openid: ["sub", "keyfold_role", "keyfold_reseller", "realm_access"] },
    // As most do; without it claims are told by UserInfo alone, as the specification has it.
    conformIdTokenClaims: !asked.in_token,
    cookies: { keys: ["of the tests"] },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: "Ada Lovelace", ...asked.people[id] }),
    }),
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
