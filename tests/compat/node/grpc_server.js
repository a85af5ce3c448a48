// Connect's server for Node.js over HTTP/1.1: speaks gRPC-Web and the Connect protocol. Argument: its name. Tells its port as JSON.

import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { EventEmitter, on, once } from "node:events";
import { createServer } from "node:http";
import { Orders } from "./grpc.js";

const name = process.argv[2];
const told = new EventEmitter();
let watchers = 0;

function routes(router) {
  router.service(Orders, {
    place({ text }, context) {
      if (text === "nothing") {
        throw new ConnectError("no such article – ä", Code.NotFound, { "x-hint": "look again" });
      }
      context.responseHeader.set("x-taken-by", name);
      context.responseTrailer.set("x-length", String(text.length));
      return { text: `${text} for ${context.requestHeader.get("x-customer")}` };
    },
    async *watch({ text }, { signal }) {
      watchers++;
      try {
        yield { text: `watching ${text}` };
        for await (const [word] of on(told, "word", { signal })) {
          if (word === "break") throw new ConnectError("the stream broke", Code.DataLoss);
          yield { text: word };
        }
      } finally {
        watchers--;
        told.emit("left");
      }
    },
    async tell({ text }) {
      if (text === "wait until nobody watches") {
        while (watchers > 0) await once(told, "left");
      } else {
        told.emit("word", text);
      }
      return { text: `${watchers}` };
    },
  });
}

const server = createServer(connectNodeAdapter({ routes }));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
