// What server and client agree on: the service, as `protoc` would describe it from
//
//   service Orders {
//     rpc Place(Text) returns (Text);
//     rpc Watch(Text) returns (stream Text);
//     rpc Tell(Text) returns (Text);
//   }

import { create, createFileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

const method = (name, serverStreaming = false) => ({
  name,
  inputType: ".shop.Text",
  outputType: ".shop.Text",
  serverStreaming,
});

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "shop.proto",
    package: "shop",
    syntax: "proto3",
    messageType: [{ name: "Text", field: [{ name: "text", number: 1, type: 9, label: 1, jsonName: "text" }] }],
    service: [{ name: "Orders", method: [method("Place"), method("Watch", true), method("Tell")] }],
  }),
  () => undefined,
);
export const Orders = registry.getService("shop.Orders");
