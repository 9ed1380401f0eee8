// The official Node client against the server at argv[2]: one line for each scenario that went well.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "unused", maxRetries: 0, timeout: 20_000 });
const model = "m";
const City = z.object({ city: z.string() });
const add = {
  type: "function",
  name: "add",
  strict: true,
  parameters: {
    type: "object",
    properties: { a: { type: "number" }, b: { type: "number" } },
    required: ["a", "b"],
    additionalProperties: false,
  },
};

async function ended(id) {
  const until = Date.now() + 20_000;
  for (;;) {
    const found = await client.responses.retrieve(id);
    if (!["queued", "in_progress"].includes(found.status)) return found;
    assert(Date.now() < until, "a background response does not end");
  }
}

const scenarios = {
  async create() {
    const first = await client.responses.create({ model, input: "Hi", metadata: { a: "b" } });
    assert.equal(first.output_text, "Hello");
    const second = await client.responses.create({ model, input: "And?", previous_response_id: first.id });
    assert.equal(second.previous_response_id, first.id);
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: "asc" })) items.push(item.type);
    assert.deepEqual(items, ["message", "message", "message"]);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },
  async stream() {
    let text = "";
    for await (const event of await client.responses.create({ model, input: "Hi", stream: true }))
      if (event.type === "response.output_text.delta") text += event.delta;
    assert.equal(text, "Hello");
    const final = await client.responses.stream({ model, input: "Hi" }).finalResponse();
    assert.equal(final.output_text, "Hello");
  },
  async parse() {
    const format = zodTextFormat(City, "city");
    const response = await client.responses.parse({ model, input: "A city?", text: { format } });
    assert.deepEqual(response.output_parsed, { city: "Paris" });
  },
  async tool() {
    const response = await client.responses.parse({ model, input: "2+3?", tools: [add] });
    const call = response.output[0];
    assert.deepEqual([call.type, call.name, call.parsed_arguments], ["function_call", "add", { a: 2, b: 3 }]);
    const output = { type: "function_call_output", call_id: call.call_id, output: "5" };
    const after = await client.responses.create({
      model, input: [output], tools: [add], previous_response_id: response.id,
    });
    assert.equal(after.output_text, "Hello");
  },
  async background() {
    const queued = await client.responses.create({ model, input: "Hi", background: true });
    assert.equal(queued.status, "queued");
    assert.equal((await ended(queued.id)).output_text, "Hello");
  },
  async resume() {
    const stream = await client.responses.create({ model, input: "Hi", background: true, stream: true });
    let id, seen;
    for await (const event of stream) {
      seen = event.sequence_number;
      if (event.type === "response.created") {
        id = event.response.id;
        break;
      }
    }
    const types = [];
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: seen })) {
      assert.equal(event.sequence_number, ++seen);
      types.push(event.type);
    }
    assert.equal(types.at(-1), "response.completed");
    const whole = await client.responses.stream({ response_id: id }).finalResponse();
    assert.equal(whole.output_text, "Hello");
  },
  async cancel() {
    const running = await client.responses.create({ model, input: "never", background: true });
    assert.equal((await client.responses.cancel(running.id)).status, "cancelled");
  },
  async compact() {
    const compacted = await client.responses.compact({ model, input: [{ role: "user", content: "Hi" }] });
    assert.equal(compacted.output.at(-1).type, "compaction");
    const again = [...compacted.output, { role: "user", content: "And?" }];
    assert.equal((await client.responses.create({ model, input: again })).output_text, "Hello");
  },
  async input_tokens() {
    assert((await client.responses.inputTokens.count({ model, input: "Hi" })).input_tokens > 0);
  },
  async conversations() {
    const made = await client.conversations.create({
      metadata: { a: "b" }, items: [{ type: "message", role: "user", content: "One" }],
    });
    const added = await client.conversations.items.create(made.id, {
      items: [{ type: "message", role: "user", content: "Two" }],
    });
    await client.responses.create({ model, input: "Three", conversation: made.id });
    await client.conversations.items.delete(added.data[0].id, { conversation_id: made.id });
    const told = [];
    for await (const item of client.conversations.items.list(made.id, { order: "asc", limit: 2 }))
      told.push(item.content[0].text);
    assert.deepEqual(told, ["One", "Three", "Hello"]);
    assert.deepEqual((await client.conversations.update(made.id, { metadata: { c: "d" } })).metadata, { c: "d" });
    assert((await client.conversations.delete(made.id)).deleted);
  },
  async websocket() {
    const socket = new ResponsesWS(client);
    const text = await new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("response.completed", (event) => resolve(event.response.output[0].content[0].text));
      socket.send({ type: "response.create", model, input: "Hi" });
    });
    assert.equal(text, "Hello");
    socket.close();
  },
  async errors() {
    const refused = await client.responses.create({ model, input: "Hi", temperature: 3 }).catch((error) => error);
    assert(refused instanceof OpenAI.BadRequestError);
    assert.equal(refused.param, "temperature");
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  await scenario();
  console.log(name);
}
