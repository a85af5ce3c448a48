// The `ws` library as a server: an echo, and a few words that make it do something else. Tells its port as JSON.

import { once } from "node:events";
import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: { threshold: 0 },
  maxPayload: 64 << 20,
  handleProtocols: (offered) => (offered.has("shop.v2") ? "shop.v2" : false),
});
let lastClose = "none";

server.on("connection", (socket) => {
  socket.on("close", (code, reason) => {
    lastClose = `${code} ${reason}`;
  });
  socket.on("message", async (data, isBinary) => {
    switch (isBinary ? "" : data.toString()) {
      case "who":
        socket.send("javascript");
        break;
      case "pieces":
        socket.send("in ", { fin: false });
        socket.send("three ", { fin: false });
        socket.send("pieces");
        break;
      case "ping me":
        socket.ping("are you there");
        socket.send(`pong: ${(await once(socket, "pong"))[0]}`);
        break;
      case "last close":
        socket.send(lastClose);
        break;
      case "close":
        socket.close(4001, "as agreed");
        break;
      default:
        socket.send(data, { binary: isBinary });
    }
  });
});
server.on("listening", () => console.log(JSON.stringify({ port: server.address().port })));
