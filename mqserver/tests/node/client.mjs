// A client of websocket.MQ as someone would write it in JavaScript: npm's ws, and the protocol by
// hand.

import WebSocket from "ws";

const address = process.env.MQSERVER;
if (!address) throw new Error("MQSERVER is to say where the server is, as host:port");

/** How long anything may take before a test gives up on it, in ms. */
const patience = 20_000;

/** A message: the header's length as four hex digits, the header, etc, data. */
export function encode(header, etc, data = "") {
  const etcBytes = etc === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(etc));
  if (etc !== undefined) header = { ...header, etc: etcBytes.length };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.from(json.length.toString(16).padEnd(4));
  return Buffer.concat([length, json, etcBytes, Buffer.from(data)]);
}

function decode(message) {
  const end = 4 + parseInt(message.subarray(0, 4).toString("latin1"), 16);
  const header = JSON.parse(message.subarray(4, end).toString());
  const body = message.subarray(end);
  const length = header.etc ?? 0;
  const etc = length ? JSON.parse(body.subarray(0, length).toString()) : undefined;
  return { ...header, etc, data: body.subarray(length) };
}

/** Settles as `promise` does, if it does in time. */
function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class Client {
  #socket;
  #closed;
  #replies = new Inbox();
  #deliveries = new Inbox();
  #posts = 0;

  /** A connection, not logged in. */
  static async connect() {
    const client = new Client();
    const socket = new WebSocket(`ws://${address}/mq`);
    client.#socket = socket;
    client.#closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("message", (message, isBinary) => {
      if (!isBinary) throw new Error("the server sent text");
      const decoded = decode(message);
      (decoded.from === undefined ? client.#replies : client.#deliveries).put(decoded);
    });
    const open = new Promise((resolve, reject) => {
      socket.on("open", resolve);
      socket.on("error", reject);
    });
    await inTime(open, "the connection");
    return client;
  }

  /** Creates a user with a node of the name "phone". */
  static async register(userId, aliases = "") {
    const client = await Client.connect();
    client.send({ op: "register", userId, newNode: "phone", aliases });
    const reply = await client.reply();
    await client.close();
    return reply;
  }

  /** A connection of that node. */
  static async login(userId) {
    for (let tries = 50; ; tries--) {
      const client = await Client.connect();
      client.send({ op: "login", userId, nodeId: "phone" });
      const { op, info } = await client.reply();
      if (op === "info" && info === "ok login") return client;
      // The server learns of the end of an earlier connection when it does.
      if (info !== "node already active" || tries === 0) throw new Error(`${op}: ${info}`);
      await client.closed();
      await new Promise((resume) => setTimeout(resume, 100));
    }
  }

  send(header, etc, data) {
    this.#socket.send(encode(header, etc, data));
  }

  /** The same as a text frame. */
  sendText(header, etc, data) {
    this.#socket.send(encode(header, etc, data).toString(), { binary: false });
  }

  /** The server's next message that is no delivery. */
  reply() {
    return inTime(this.#replies.next(), "a reply");
  }

  /** The next delivery. It comes again until it is acked. */
  delivery() {
    return inTime(this.#deliveries.next(), "a delivery");
  }

  /** The next delivery, acked. */
  async take() {
    const delivery = await this.delivery();
    this.send({ op: "ack", id: delivery.id, type: "ok" });
    return delivery;
  }

  /** Posts, and returns the server's ack. */
  async post(to, etc, data) {
    const id = `post ${++this.#posts}`;
    this.send({ op: "post", id, to }, etc, data);
    const ack = await this.reply();
    if (ack.op !== "ack" || ack.id !== id) throw new Error(JSON.stringify(ack));
    return ack;
  }

  /** Closes, and returns the code of the server's answer. */
  close() {
    this.#socket.close(1000);
    return this.closed();
  }

  /** The code of the close, once it has come. */
  closed() {
    return inTime(this.#closed, "the close");
  }
}

/** What came and was not asked for yet, or the other way round. */
class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(item);
    else this.#items.push(item);
  }

  next() {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
