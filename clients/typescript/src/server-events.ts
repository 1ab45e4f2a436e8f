/** One server-sent event: its kind, its data as text, and the last `id` that the stream has named. */
export interface ServerEvent {
  kind: string;
  data: string;
  id: string | undefined;
}

/** Makes events of the text of one stream (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export class EventParser {
  /** The milliseconds that the service asks a client to wait before it connects again. */
  retry = 1000;
  #rest = "";
  #kind = "";
  #data: string[] = [];
  #id: string | undefined;

  /** Yields each event that ends in `piece`. */
  *feed(piece: string): Generator<ServerEvent> {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const event = this.#take(line.replace(/\r$/, ""));
      if (event) yield event;
    }
  }

  #take(line: string): ServerEvent | undefined {
    if (line === "") return this.#dispatch();
    const [name, value = ""] = line.split(/: ?(.*)/s);
    if (name === "event") this.#kind = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
    else if (name === "retry" && /^\d{1,9}$/.test(value)) this.retry = Number(value);
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const [kind, data] = [this.#kind || "message", this.#data];
    [this.#kind, this.#data] = ["", []];
    return data.length > 0 ? { kind, data: data.join("\n"), id: this.#id } : undefined;
  }
}
