// Connect's client for browsers: one conversation in one protocol; tells what it heard. Arguments: the URL, `grpc-web` or `connect`, the cookie.

import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { Orders } from "./grpc.js";

const [baseUrl, protocol, cookie] = process.argv.slice(2);
const heard = {};
const options = {
  baseUrl,
  useBinaryFormat: true,
  fetch: (input, init) => {
    init.headers.set("Cookie", cookie);
    return fetch(input, init);
  },
};
const client = createClient(
  Orders,
  protocol === "grpc-web" ? createGrpcWebTransport(options) : createConnectTransport(options),
);
const failure = (error) => `${error.code}: ${error.rawMessage}`;

await client.place({ text: "Ledgers" }, {
  headers: { "x-customer": "acme" },
  onHeader: (headers) => (heard.takenBy = headers.get("x-taken-by")),
  onTrailer: (trailers) => (heard.length = trailers.get("x-length")),
}).then(({ text }) => (heard.placed = text));
heard.large = (await client.place({ text: "x".repeat(3_000_000) })).text.length;
await client.place({ text: "nothing" }).catch((error) => {
  heard.refused = failure(error);
  heard.hint = error.metadata.get("x-hint");
});

// Each message is told only after the one before has arrived: whoever held one back would stop it all.
heard.watched = [];
try {
  for await (const { text } of client.watch({ text: "orders" })) {
    heard.watched.push(text);
    await client.tell({ text: ["one", "two", "break"][heard.watched.length - 1] });
  }
} catch (error) {
  heard.broken = failure(error);
}

const leaving = new AbortController();
try {
  for await (const { text } of client.watch({ text: "and leave" }, { signal: leaving.signal })) {
    heard.left = text;
    leaving.abort();
  }
} catch (error) {
  heard.aborted = error.code;
}
// A stream is the answer to a POST: the proxy lets it go on for the timeout, and this question may meet the same one.
while (heard.watchers === undefined) {
  try {
    heard.watchers = (await client.tell({ text: "wait until nobody watches" })).text;
  } catch (error) {
    if (error.code !== Code.Unavailable) throw error;
  }
}
console.log(JSON.stringify(heard));
process.exit(0);
