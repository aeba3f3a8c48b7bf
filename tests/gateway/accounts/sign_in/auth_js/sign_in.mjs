// Supabase's own client signs in by password and prints its session: node sign_in.mjs URL ANON_KEY EMAIL PASSWORD.
import { AuthClient } from "@supabase/auth-js";

const [url, key, email, password] = process.argv.slice(2);
const client = new AuthClient({ url, headers: { apikey: key, Authorization: `Bearer ${key}` }, autoRefreshToken: false });
const { data, error } = await client.signInWithPassword({ email, password });
if (error) throw error;
const { data: seen } = await client.getUser(data.session.access_token);
console.log(JSON.stringify({ access_token: data.session.access_token, user: seen.user.id }));
