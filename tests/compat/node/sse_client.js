// The `eventsource` library: tells each event and each loss of the connection, as a line of JSON.
// Arguments: the URL, the cookie.

import { EventSource } from "eventsource";

const [url, cookie] = process.argv.slice(2);
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Cookie: cookie } }),
});
const tell = (what) => console.log(JSON.stringify(what));
source.onopen = () => tell({ open: true });
source.onerror = () => tell({ lost: true });
source.onmessage = ({ data, lastEventId }) => tell({ data, id: lastEventId });
setInterval(() => {}, 60_000); // the library waits to connect again without keeping the process alive
