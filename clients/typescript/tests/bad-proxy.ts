/** A proxy between phones and the service that fails in each way that there is, as a seed decides. */
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { chance } from "./talk.ts";

const FORGED: [number, Record<string, string>][] = [
  [401, { "www-authenticate": "Bearer" }],
  [403, {}],
  [404, {}],
  [413, {}],
  [429, { "retry-after": "0" }],
  [500, {}],
  [503, { "retry-after": "1" }],
];
const FAULTS = ["drop", "lose the answer", "cut the answer", "delay", "hang", "repeat", "deliver late", ...Array(3).fill("forge")];
const HANG = 2_500; // milliseconds

export interface BadProxy {
  url: string;
  /** How often each fault was done. */
  counts: Record<string, number>;
  close(): void;
}

/** Runs a proxy to the service at `target`; `rate` of the requests fail. */
export async function badProxy(target: string, seed: number, rate: number): Promise<BadProxy> {
  const next = chance(seed);
  const counts: Record<string, number> = {};
  const server = createServer(async (asked, answer) => {
    const parts: Buffer[] = [];
    for await (const part of asked) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const fault = next() < rate ? FAULTS[Math.floor(next() * FAULTS.length)]! : "pass";
    counts[fault] = (counts[fault] ?? 0) + 1;
    const forward = () => pass(target, asked, body);
    const actions: Record<string, () => Promise<unknown>> = {
      pass: async () => send(answer, await forward()),
      drop: async () => answer.destroy(),
      "lose the answer": async () => (await forward(), answer.destroy()),
      "cut the answer": async () => {
        const { status, headers, text } = await forward();
        answer.writeHead(status, { ...headers, "content-length": `${text.length + 1}` });
        answer.write(text, () => answer.destroy());
      },
      delay: () => later(300 * next(), async () => send(answer, await forward())),
      hang: () => later(HANG, async () => answer.destroy()),
      repeat: async () => (await forward(), send(answer, await forward())),
      "deliver late": async () => {
        answer.destroy();
        await later(500 * next(), forward);
      },
      forge: async () => {
        const [status, headers] = FORGED[Math.floor(next() * FORGED.length)]!;
        counts[status] = (counts[status] ?? 0) + 1;
        const text = Buffer.from("<html>No.</html>");
        send(answer, { status, headers: { "content-type": "text/html", ...headers }, text });
      },
    };
    await actions[fault]!().catch(() => answer.destroy());
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const close = () => (server.closeAllConnections(), server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, counts, close };
}

interface Passed {
  status: number;
  headers: Record<string, string>;
  text: Buffer;
}

function later<T>(time: number, action: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => setTimeout(() => void action().then(resolve, reject), time));
}

function pass(target: string, { method, url, headers }: IncomingMessage, body: Buffer): Promise<Passed> {
  return new Promise((resolve, reject) => {
    const { host: _, ...passed } = headers;
    const outgoing = request(target + url, { method: method!, headers: passed }, async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      const { date = "", "content-type": type = "" } = answer.headers;
      resolve({ status: answer.statusCode!, headers: { date, "content-type": type }, text: Buffer.concat(parts) });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function send(answer: ServerResponse, { status, headers, text }: Passed): void {
  answer.writeHead(status, headers).end(text);
}
