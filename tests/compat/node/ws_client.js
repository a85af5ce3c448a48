// The `ws` library as a client: holds the conversation of tests/compat/test_websockets.py, and tells what it heard.
// Arguments: the URL, the cookie.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";

const [url, cookie] = process.argv.slice(2);

async function open() {
  const socket = new WebSocket(url, ["shop.v1", "shop.v2"], {
    headers: { Cookie: cookie },
    perMessageDeflate: { threshold: 0 },
    maxPayload: 64 << 20,
  });
  await once(socket, "open");
  return socket;
}

async function ask(socket, message) {
  socket.send(message);
  const [data, isBinary] = await once(socket, "message");
  return isBinary ? data : data.toString();
}

const socket = await open();
const heard = { protocol: socket.protocol, extension: socket.extensions };
heard.server = await ask(socket, "who");
heard.short = await ask(socket, "short ä");
heard.octets = (await ask(socket, Buffer.from([0, 255]))).toString("hex");
const text = "ä".repeat(2_000_000);
heard.longText = (await ask(socket, text)) === text;
const noise = randomBytes(3_000_000);
heard.longBinary = (await ask(socket, noise)).equals(noise);
for (const piece of ["cut ", "into "]) socket.send(piece, { fin: false });
heard.cut = await ask(socket, "frames");
heard.pieces = await ask(socket, "pieces");
socket.ping("hello");
heard.pong = (await once(socket, "pong"))[0].toString();
heard.pinged = await ask(socket, "ping me");

const burst = createHash("sha256");
for (let i = 0; i < 500; i++) socket.send(`message ${i}`);
for (let i = 0; i < 500; i++) burst.update((await once(socket, "message"))[0]);
heard.burst = burst.digest("hex");

socket.send("close");
const [code, reason] = await once(socket, "close");
heard.closed = `${code} ${reason}`;

const other = await open();
other.close(4002, "I am done");
await once(other, "close");
const last = await open();
heard.lastClose = await ask(last, "last close");
last.close();
console.log(JSON.stringify(heard));
