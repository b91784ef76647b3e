// Makes a ticket of a newly opened GitHub issue and drops every other event.
// Config: `{ queue = "support" }`, where the ticket goes.

import { log } from "sluice:plugin/host@1.0.0";

let queue;

export const lifecycle = {
  configure: answering((config) => {
    queue = JSON.parse(config)?.queue;
    if (typeof queue !== "string") throw { tag: "config", val: "`queue` must be the name of a queue" };
  }),
};

export const transform = {
  transform: answering((event, body) => {
    const type = event.eventType();
    if (type !== "issues") return drop(`${type ?? "an event without a type"} is not about an issue`);
    const { action, issue, repository } = parsed(body);
    if (action !== "opened") return drop(`the issue is ${action}`);
    if (!issue?.title) throw invalid("the issue has no title");
    log("info", `issue ${issue.number} goes to ${queue}`);
    return deliver({ queue, repo: repository.full_name, title: issue.title, url: issue.html_url });
  }),
};

function parsed(body) {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch (error) {
    throw invalid(`the body is not JSON: ${error.message}`);
  }
}

// Thrown where the event can never be handled: it becomes a dead letter.
function invalid(reason) {
  return { tag: "invalid", val: reason };
}

function deliver(ticket) {
  const bytes = (text) => new TextEncoder().encode(text);
  const headers = [["content-type", bytes("application/json")]];
  return { tag: "deliver", val: [{ headers, body: bytes(JSON.stringify(ticket)), attributes: [] }] };
}

// The reason is what operators see in the event's history.
function drop(reason) {
  return { tag: "drop", val: reason };
}

// What is thrown by mistake becomes an error with its text; uncaught it would be a trap that explains nothing.
function answering(call) {
  return (...given) => {
    try {
      return call(...given);
    } catch (error) {
      throw error?.tag ? error : { tag: "other", val: `${error} ${error?.stack ?? ""}` };
    }
  };
}
